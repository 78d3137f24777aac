"""The Open Inference Protocol, version 2, over HTTP.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""
