"""What checks annotations while tests run: beartype, to which an int is a float, as PEP 484 and mypy have it."""

import beartype

checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
