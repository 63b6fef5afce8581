"""Runs in a bucket: real processes, with the real libraries for gs://, against a store in this process."""

import base64
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import urllib.parse

import pytest
from helpers.folders import metrics_of

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Store:
  """Objects of one bucket by name, each with a generation, behind the routes of the Cloud Storage JSON API.

  Attributes:
    url: where it listens, on a free port of 127.0.0.1.
    objects: name → (content, generation).
    unknown: requests that it has no route for.
    on_put: beginning of a name → what is called, once, before the first object of such a name is stored.
  """

  def __init__(self, bucket: str):
    self.bucket, self.objects, self.unknown, self.on_put = bucket, {}, [], {}
    self._uploads: dict[str, tuple[str, dict, bytes]] = {}
    self._lock, self._count = threading.RLock(), 0
    store = self

    class Handler(_Handler):
      def answer(self, *request):
        with store._lock:
          return store._answer(*request)

    self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    self.url = f"http://127.0.0.1:{self._server.server_port}"
    self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
    self._thread.start()

  def close(self) -> None:
    self._server.shutdown()
    self._thread.join()
    self._server.server_close()

  def _answer(self, method: str, path: str, query: dict[str, str], headers, body: bytes):
    """Status, headers and content of the answer to one request."""
    base, objects = re.escape(f"/b/{self.bucket}"), f"/b/{self.bucket}/o"
    path = re.sub(r"^(/upload|/download)?/storage/v1", "", path)
    if method == "GET" and path == f"/b/{self.bucket}":
      return _json({"kind": "storage#bucket", "name": self.bucket, "id": self.bucket})
    if method == "GET" and path == objects:
      return _json(self._listing(query))
    if method == "POST" and path == objects:
      return self._upload(query, headers, body)
    if path.startswith("/b/") and not path.startswith(f"/b/{self.bucket}"):
      return _error(404)
    if path == "/session":
      return self._continue(query["id"], headers, body)
    if found := re.fullmatch(rf"{base}/o/([^/]+)/(?:rewriteTo/b/[^/]+|moveTo)/o/([^/]+)", path):
      source, target = map(urllib.parse.unquote, found.groups())
      if source not in self.objects:
        return _error(404)
      resource = self.put(target, self.objects[source][0])
      if "/moveTo/" in path:
        del self.objects[source]
        return _json(resource)
      return _json({"done": True, "resource": resource})
    if found := re.fullmatch(rf"{base}/o/([^/]+)", path):
      return self._object(method, urllib.parse.unquote(found[1]), query, headers)
    self.unknown.append(f"{method} {path} {query}")
    return _error(501)

  def _object(self, method: str, name: str, query: dict[str, str], headers):
    if name not in self.objects:
      return _error(404)
    content, generation = self.objects[name]
    if refused := self._refused(name, query):
      return refused
    if method == "DELETE":
      del self.objects[name]
      return 204, {}, b""
    if query.get("alt") != "media":
      return _json(self._resource(name))
    about = {
      "Content-Type": "application/octet-stream",
      "X-Goog-Generation": str(generation),
      "X-Goog-Hash": f"crc32c={_crc32c(content)}",
    }
    if not (wanted := headers.get("Range")):
      return 200, about, content
    first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted).groups()
    start = int(first) if first else max(0, len(content) - int(last))
    stop = min(len(content), int(last) + 1) if first and last else len(content)
    if start >= len(content):
      return _error(416)
    return 206, about | {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}, content[start:stop]

  def _refused(self, name: str, query: dict[str, str]):
    """The answer if a condition on the generation of an object (0 = it does not exist) does not hold."""
    generation = self.objects[name][1] if name in self.objects else 0
    if generation != int(query.get("ifGenerationMatch", generation)):
      return _error(412)
    if generation == int(query.get("ifGenerationNotMatch", -1)):
      return _error(304)
    return None

  def _upload(self, query: dict[str, str], headers, body: bytes):
    kind = query["uploadType"]
    if kind == "resumable":
      name = query.get("name") or json.loads(body)["name"]
      self._count += 1
      self._uploads[str(self._count)] = name, query, b""
      return 200, {"Location": f"{self.url}/session?id={self._count}"}, b""
    if kind == "multipart":
      mark = re.search(r'boundary="?([^";]+)"?', headers["Content-Type"])[1].encode()
      about, content = (re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1] for part in body.split(b"--" + mark)[1:3])
      name, body = json.loads(about)["name"], re.sub(rb"\r?\n\Z", b"", content)
    else:
      name = query["name"]
    return self._refused(name, query) or _json(self.put(name, body))

  def _continue(self, session: str, headers, body: bytes):
    name, query, have = self._uploads[session]
    have += body
    if headers.get("Content-Range", "").endswith("/*"):
      self._uploads[session] = name, query, have
      return 308, {"Range": f"bytes=0-{len(have) - 1}"}, b""
    del self._uploads[session]
    return self._refused(name, query) or _json(self.put(name, have))

  def names(self, prefix: str) -> list[str]:
    with self._lock:
      return [name for name in self.objects if name.startswith(prefix)]

  def put(self, name: str, content: bytes) -> dict:
    """Stores an object; returns what the API tells of it."""
    for prefix in [p for p in self.on_put if name.startswith(p)]:
      self.on_put.pop(prefix)()
    self._count += 1
    self.objects[name] = content, self._count
    return self._resource(name)

  def _resource(self, name: str) -> dict:
    content, generation = self.objects[name]
    return {
      "kind": "storage#object", "name": name, "bucket": self.bucket, "id": f"{self.bucket}/{name}/{generation}",
      "size": str(len(content)), "generation": str(generation), "metageneration": "1", "crc32c": _crc32c(content),
      "contentType": "application/octet-stream", "storageClass": "STANDARD",
      "timeCreated": "2026-01-01T00:00:00.000Z", "updated": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip

  def _listing(self, query: dict[str, str]) -> dict:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
    items, prefixes = [], set()
    for name in sorted(self.objects):
      if not name.startswith(prefix) or not query.get("startOffset", "") <= name:
        continue
      if "endOffset" in query and name >= query["endOffset"]:
        continue
      rest = name[len(prefix) :]
      if delimiter and delimiter in rest:
        prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
      else:
        items.append(self._resource(name))
    return {"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)}


class _Handler(http.server.BaseHTTPRequestHandler):
  """Reads requests and writes answers."""

  protocol_version = "HTTP/1.1"

  def _serve(self):
    url = urllib.parse.urlsplit(self.path)
    query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
    status, headers, content = self.answer(self.command, url.path, query, self.headers, self._body())
    self.send_response(status)
    for name, value in headers.items():
      self.send_header(name, value)
    self.send_header("Content-Length", str(len(content)))
    self.end_headers()
    self.wfile.write(content)

  do_GET = do_POST = do_PUT = do_DELETE = _serve

  def _body(self) -> bytes:
    if self.headers.get("Transfer-Encoding") != "chunked":
      return self._read(int(self.headers.get("Content-Length") or 0))
    parts = []
    while size := int(self.rfile.readline() or b"bad", 16):
      parts.append(self._read(size))
      self.rfile.readline()
    self.rfile.readline()
    return b"".join(parts)

  def _read(self, size: int) -> bytes:
    content = self.rfile.read(size)
    if len(content) < size:  # nothing is stored of what a client did not send whole
      raise ConnectionResetError
    return content

  def handle(self):
    try:
      super().handle()
    except ConnectionError:
      pass  # a client was killed, or has read enough

  def log_message(self, *_):
    pass


def _json(content: dict):
  return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _error(status: int):
  content = b"" if status == 304 else json.dumps({"error": {"code": status, "message": str(status)}}).encode()
  return status, {"Content-Type": "application/json"}, content


def _crc32c(content: bytes) -> str:
  import google_crc32c

  return base64.b64encode(google_crc32c.Checksum(content).digest()).decode()


@pytest.fixture
def store(toy_dataset):
  """A bucket named `bucket` that holds the toy dataset."""
  store = Store("bucket")
  for file in toy_dataset.iterdir():
    store.put(f"toy/{file.name}", file.read_bytes())
  yield store
  store.close()
  assert not store.unknown


@pytest.fixture
def program(store):
  """Starts the toy's `train` or `evaluate` on one device, where every library takes the store for Google's."""
  surroundings = {
    "STORAGE_EMULATOR_HOST": store.url,  # gcsfs; Google's own library, for Orbax and tensorboardX
    "FSSPEC_GCS_TOKEN": "anon",
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks over gRPC what kind of bucket it is
    "TENSORSTORE_GCS_HTTP_URL": store.url,
    "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",  # TensorStore would look for real credentials
    "CLOUD_STORAGE_EMULATOR_ENDPOINT": store.url,  # ArrayRecord
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "1",
    "JAX_NUM_CPU_DEVICES": "1",
  }

  def start(name, *flags):
    toy = str(ROOT / "tests" / "toy_method.py")
    config = [f"--config={toy}"] if name == "train" else []
    return subprocess.Popen(
      [sys.executable, toy, name, *config, *flags],
      cwd=ROOT,
      env=os.environ | surroundings,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      start_new_session=True,
    )

  return start


def finished(job, status=0):
  """What a program printed, once it has ended with the status that is expected."""
  try:
    output = job.communicate(timeout=400)[0]
  finally:
    if job.poll() is None:
      os.killpg(job.pid, signal.SIGKILL)
  assert job.returncode == status, output
  return output


@pytest.mark.slow  # starts the programs six times
def test_a_run_in_a_bucket_is_the_one_on_a_disk(program, store, toy_dataset, tmp_path):
  """Guards gs:// for workdir, data and output, through the libraries that users have (gcsfs, TensorStore, ArrayRecord's
  reader, google-cloud-storage): a run that is killed while it writes a checkpoint into a bucket, and then finds the one
  before it damaged, goes on from the last good one and ends with the metrics, the list of videos and the scores of a
  run that was left alone on a disk.
  """
  local, there = tmp_path / "run", ("--workdir=gs://bucket/run", "--data=gs://bucket/toy")
  alone = program("train", f"--workdir={local}", f"--data={toy_dataset}")
  killed = program("train", *there)
  store.on_put["run/checkpoints/15/opt_state/"] = lambda: os.killpg(killed.pid, signal.SIGKILL)
  assert "step 10/20" in finished(killed, -signal.SIGKILL)
  assert store.names("run/checkpoints/15/") and "run/checkpoints/15/commit_success.txt" not in store.objects

  for name in store.names("run/checkpoints/10/params/"):
    store.put(name, store.objects[name][0][:20])
  output = finished(program("train", *there, "--config.workers=1", "--profile=12:13"))
  assert "checkpoint 10 cannot be read" in output and "goes on at step 5 of 20" in output
  assert "checkpoint 15" not in output
  assert store.names("run/damaged_checkpoints/10/params/")
  assert {name.split("/")[2] for name in store.names("run/checkpoints/")} == {"15", "20"}  # older ones are gone
  assert any(name.endswith(".xplane.pb") for name in store.names("run/profile/"))
  assert store.names("run/tensorboard/events.")

  finished(alone)
  finished(program("evaluate", f"--workdir={local}", f"--data={toy_dataset}", f"--output={local}/scored"))
  finished(program("evaluate", *there, "--output=gs://bucket/run/scored"))
  for name in ("train_videos.csv", "dataset.json", "scored/scores.csv"):
    assert store.objects[f"run/{name}"][0] == (local / name).read_bytes(), name
  remote = store.objects["run/metrics.jsonl"][0].decode()
  assert metrics_of(remote) == metrics_of((local / "metrics.jsonl").read_text())
  sessions = json.loads(store.objects["run/provenance.json"][0])["sessions"]
  assert [s["first_step"] for s in sessions] == [0, 5] and sessions[-1]["last_step"] == 20
  assert not [name for name in store.objects if name.endswith(".partial")]


@pytest.mark.slow
def test_a_bucket_that_is_not_there(program):
  """Guards against a traceback of the libraries, and against a bucket that is made by a slip of the pen."""
  output = finished(program("evaluate", "--workdir=gs://absent/run", "--data=gs://bucket/toy"), 2)
  assert "the bucket gs://absent cannot be reached" in output and "gcloud auth" in output
