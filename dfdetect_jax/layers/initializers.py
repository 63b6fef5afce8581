"""How convolutions without a bias start, in all networks here."""

import flax.linen as nn

# He et al. (ICCV 2015) by the outputs, as torchvision's ResNet has it: N(0, 2 / (outputs × window)).
KAIMING = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
