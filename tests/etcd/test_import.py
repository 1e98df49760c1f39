"""How etcd3 gets imported: with protobuf in pure Python, without noise, with a clear error when that came too late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, since an import happens once."""
    return subprocess.run([sys.executable, *flags, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_import_chooses_pure_python_and_is_silent() -> None:
    """The adapter imports with every warning an error, and tells children of the process nothing of its choice."""
    code = """
import os
import agent.etcd.store
from google.protobuf.internal import api_implementation
print(api_implementation.Type(), os.environ.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"))
"""
    done = python(code, "-W", "error")
    assert (done.stdout, done.stderr) == ("python None\n", "")


def test_messages_work_without_warnings() -> None:
    """Messages are built, packed and read with every warning an error."""
    code = """
from agent.etcd.rpc import rpc, txn_request
from agent.core.model.store import Compare, Delete, Put, Txn
request = txn_request(Txn((Compare("/a", 0),), (Put("/a", b"1", 7), Delete("/b")), ("/a",)))
again = rpc.TxnRequest.FromString(request.SerializeToString())
assert again == request and again.compare[0].mod_revision == 0 and again.success[0].request_put.lease == 7
"""
    done = python(code, "-W", "error")
    assert (done.returncode, done.stderr) == (0, "")


def test_protobuf_imported_too_early_is_explained() -> None:
    """When somebody loaded protobuf's compiled implementation first, the error names the cause and two remedies."""
    done = python("import google.protobuf.descriptor, agent.etcd.store")
    assert done.returncode == 1
    assert "ImportError: google.protobuf was imported before agent.etcd, as 'upb'" in done.stderr
    assert "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python" in done.stderr


def test_protobuf_imported_early_in_pure_python_is_fine() -> None:
    """An earlier import of the right implementation does no harm."""
    code = """
import os
os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
import google.protobuf.descriptor, agent.etcd.store
print(os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"])
"""
    assert python(code).stdout == "python\n"
