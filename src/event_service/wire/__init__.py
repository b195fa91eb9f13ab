"""Between Python values and protobuf's wire bytes: payloads, finished events, timestamps. No transport, no database."""
