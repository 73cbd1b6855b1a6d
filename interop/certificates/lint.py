# SPDX-License-Identifier: Apache-2.0
"""Certificates before the linter pkilint, for `cargo xtask interop certificates`.

Usage: lint.py ISSUER:SUBJECT... with PEM files; a root is its own issuer. Each subject is linted by itself (RFC 5280) and together with its
issuer (name, key identifier and signature). A finding that is not in EXPECTED fails, and so does an entry of EXPECTED that nothing shows.
"""

import contextlib
import io
import json
import sys

from pkilint.bin import lint_pkix_cert, lint_pkix_signer_signee_cert_chain

# Code of a finding -> of which certificates it is expected; why stands above each.
EXPECTED = {
    # A remark and no fault: RFC 7093, section 2, method 1, the leftmost 160 bits of a SHA-256. Fulcio's specification demands a subject key
    # identifier and no method.
    "pkix.subject_key_identifier_rfc7093_method_1_identified": lambda issuer, subject, message: True,
    # RFC 5280, section 4.2.1.1: a self-signed certificate may leave it out. The linter of pairs does not know that both are one.
    "pkix.authority_key_id_extension_missing": lambda issuer, subject, message: issuer == subject,
    # The linter takes the schemes of the web alone. A SPIFFE ID is a URI of RFC 3986, and the name that Fulcio's specification gives to a
    # workload.
    "pkix.invalid_uri_syntax": lambda issuer, subject, message: message.endswith('"spiffe://example.org/ns/prod/sa/web"'),
}


def findings(linter, *files):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        linter.main(["lint", "--severity", "INFO", "--format", "JSON", *files])
    if not out.getvalue().strip():
        raise SystemExit(f"the linter cannot read {files}: {err.getvalue()}")
    for result in json.loads(out.getvalue())["results"]:
        for finding in result["finding_descriptions"]:
            yield finding["severity"], finding["code"], result["node_path"], finding.get("message") or ""


def main(pairs):
    unexpected, seen, linted = [], set(), 0
    for pair in pairs:
        issuer, subject = pair.split(":")
        found = list(findings(lint_pkix_cert, subject))
        found += findings(lint_pkix_signer_signee_cert_chain, issuer, subject)
        linted += 1
        for severity, code, path, message in found:
            if code in EXPECTED and EXPECTED[code](issuer, subject, message):
                seen.add(code)
            else:
                unexpected.append(f"{subject}: {severity} {code} at {path} {message}")
    for code in EXPECTED.keys() - seen:
        unexpected.append(f"{code} is expected, but nothing shows it: take it out")
    for line in unexpected:
        print(line)
    print(f"{linted} certificates linted, {len(seen)} kinds of expected findings, {len(unexpected)} unexpected")
    return 1 if unexpected or not linted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
