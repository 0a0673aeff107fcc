"""A Hugging Face directory converted for OpenVINO, in a process of its own: it takes memory.

python ov_convert.py MODEL OUT int8|int4|f32
"""

from __future__ import annotations

import sys


def main(model: str, out: str, weights: str) -> None:
    # It reports usage to its makers unasked; OpenVINO and NNCF do without when it is absent.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    bits = {"int8": 8, "int4": 4}.get(weights)
    OVModelForCausalLM.from_pretrained(
        model, export=True, compile=False, load_in_8bit=False,
        quantization_config=OVWeightQuantizationConfig(bits=bits) if bits else None,
    ).save_pretrained(out)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
