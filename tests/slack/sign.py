"""Signs bodies with Slack's own library.

Each line of the input is a JSON object of secret, timestamp and body; each line of the output the signature.
"""

import json
import sys

from slack_sdk.signature import SignatureVerifier

for line in sys.stdin:
    request = json.loads(line)
    verifier = SignatureVerifier(request["secret"])
    print(verifier.generate_signature(timestamp=request["timestamp"], body=request["body"]))
