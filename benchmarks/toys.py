"""Small trained models of the large families: SDXL, FLUX.2-klein-base, Z-Image, Qwen-Image (docs/backbones.md).

    python -m benchmarks.toys z-image --work DIR    # trains for one to four minutes of a core; DIR/weights.safetensors
    python -m benchmarks.toys z-image --weights FILE --package FOLDER --json OUT    # for `load_model`, and measures it

A toy's denoising network is trained on rendered streets through the adapter that runs the published models, which
agrees with diffusers' own pipeline. Its text encoders stay as they were drawn. The flows' autoencoders are of their
family's class with weights set by hand so that pixels pass: 48x28 pixels are as many cells of three channels. SDXL's
is street-mini's.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from s2st_aug.diffusion import ddim, networks
from s2st_aug.diffusion.denoiser import Context, from_v_prediction, v_from_eps, with_context
from s2st_aug.diffusion.families import FLUX2, QWEN_IMAGE, SDXL, Z_IMAGE, Family
from s2st_aug.diffusion.flow import velocity_from_eps
from s2st_aug.diffusion.flow_models import QWEN_TEMPLATE, FlowParts, build_flow
from s2st_aug.diffusion.model import LatentModel
from s2st_aug.diffusion.model_files import find_model
from s2st_aug.diffusion.selftest import measure_model
from s2st_aug.diffusion.stable_diffusion import Networks, build_sdxl, load_model
from s2st_aug.images import encode_png
from s2st_aug.profiles.build import ReferencePhotos, build_profile
from s2st_aug.profiles.build import measure as measure_photos
from s2st_aug.records.domains import CONDITIONS
from s2st_aug.records.translated import Translated
from s2st_aug.training import denoiser as dn
from s2st_aug.training.aligned import AlignedSettings, PromptBank, StreetBank, train_aligned
from s2st_aug.training.checkpoints import load_checkpoint, pack, save_checkpoint, unpack
from s2st_aug.training.objectives import Objective, stratified_times
from s2st_aug.training.package import read_vocabulary
from s2st_aug.training.prompts import canonical_prompt, vocabulary_corpus
from s2st_aug.training.streets import StreetFolder, StreetLoader, StreetSettings
from s2st_aug.translation.settings import MethodSettings
from s2st_aug.translation.translator import Translator

log = logging.getLogger(__name__)
KEY, HELD_OUT = 820_016, 820_017  # of the streets that a toy is trained on, and of those that it is measured on
DAY, NIGHT = CONDITIONS.index("day"), CONDITIONS.index("night")
STREETS = 96  # of them
LEVELS = 2  # noise levels of an update: the adapter takes one level at a time
COLOURS, CHANNELS, LIFT = 3, 5, 30.0  # of an autoencoder that passes pixels: colours, with the anchors, above zero
TEXT = 16  # channels of the flows' text encoders
MEAN, DEVIATION = (-0.257, -0.283, -0.293), (0.401, 0.423, 0.45)  # of rendered streets' colours, in [-1, 1]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
CORPUS = (QWEN_TEMPLATE.replace("<|im_start|>", "").replace("<|im_end|>", ""), *vocabulary_corpus())
PROMPTS = 4  # ways of saying each condition


def pass_pixels(vae: Any) -> Any:
    """Set an autoencoder's weights so that three channels pass it both ways, to about 1e-3 of their range.

    Residual blocks and attention add nothing. The last norm is undone by two anchors, channels so large that its
    statistics hardly depend on the image; SiLU passes what is lifted far above zero.
    """
    undo = _undo_rms_norm if hasattr(vae.encoder, "norm_out") else _undo_group_norm
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        for half in (vae.encoder, vae.decoder):
            _centre(half.conv_in)[range(COLOURS), range(COLOURS)] = 1
            _centre(half.conv_out)[range(COLOURS), range(COLOURS)] = 1
            undo(half)
        for conv in (vae.quant_conv, vae.post_quant_conv):
            _centre(conv)[range(conv.out_channels), range(conv.out_channels)] = 1
    return vae


def _centre(conv: Any) -> torch.Tensor:
    """The kernel's middle, `out in`; of a causal convolution over time the last frame's."""
    weight = conv.weight[:, :, -1] if conv.weight.dim() == 5 else conv.weight
    return weight[..., weight.shape[-2] // 2, weight.shape[-1] // 2]


def _undo_group_norm(half: Any, anchor: float = 100.0) -> None:
    """The anchors' mean after the norm is the mean that it took from the colours."""
    deviation = anchor * (2 / CHANNELS) ** 0.5
    half.conv_in.bias[COLOURS:] = torch.tensor([anchor, -anchor])
    half.conv_norm_out.weight[:] = torch.tensor([deviation] * COLOURS + [1.0, 1.0])
    half.conv_norm_out.bias[:] = LIFT
    _centre(half.conv_out)[:COLOURS, COLOURS:] = -deviation / 2
    half.conv_out.bias[:COLOURS] = LIFT * (deviation - 1)


def _undo_rms_norm(half: Any, anchor: float = 1e4) -> None:
    half.conv_in.bias[:] = torch.tensor([LIFT] * COLOURS + [anchor, -anchor])
    half.norm_out.gamma[:COLOURS] = anchor * (2 / CHANNELS) ** 0.5
    half.conv_out.bias[:COLOURS] = -LIFT


Parts = dict[str, Any]  # networks and tokenizers by the folder that they are written to
KL: dict[str, Any] = {
    "block_out_channels": (CHANNELS,), "down_block_types": ("DownEncoderBlock2D",),
    "up_block_types": ("UpDecoderBlock2D",), "norm_num_groups": 1, "layers_per_block": 1, "latent_channels": COLOURS,
}  # fmt: skip


@dataclass(frozen=True)
class Toy:
    """One family's model at tiny shape."""

    family: Family
    size: tuple[int, int]  # w, h in pixels of the streets that it is trained on
    build: Callable[[], Parts]
    steps: int  # updates of 8 samples
    lr: float = 2e-3
    fresh: float = 0.6  # share of the updates before aligned seeds

    def model(self, parts: Mapping[str, Any]) -> LatentModel:
        """The model around networks in memory, at the size of its streets."""
        if self.family is SDXL:
            more = parts["text_encoder_2"], parts["tokenizer_2"]
            made = Networks(parts["unet"], parts["vae"], parts["text_encoder"], parts["tokenizer"], more)
            model = build_sdxl(made)
            return replace(
                model, denoiser=from_v_prediction(model.denoiser, model.schedule), prediction_type="v_prediction"
            )
        encoders, tokenizers = (
            {n: v for n, v in parts.items() if n.startswith(k)} for k in ("text_encoder", "tokenizer")
        )
        flow = FlowParts(parts["transformer"], parts["vae"], encoders, tokenizers, {"shift": 1.0})
        return replace(build_flow(self.family, flow), native_size=self.size)

    def write(self, folder: Path, parts: Mapping[str, Any]) -> None:
        """In diffusers' format, in float32."""
        libraries = {"text": "transformers", "toke": "transformers"}
        index: Parts = {n: [libraries.get(n[:4], "diffusers"), type(p).__name__] for n, p in parts.items()}
        scheduler: Parts = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 1.0}
        if self.family is SDXL:
            scheduler = {"_class_name": "DDIMScheduler", **networks.SCHEDULER_CONFIG}
        if self.family is FLUX2:
            index["is_distilled"] = False
        for name, part in parts.items():
            part.save_pretrained(folder / name)
        if self.family is SDXL:  # an AutoencoderTiny writes a key that it warns about on reading
            config = json.loads((folder / "vae" / "config.json").read_text())
            del config["block_out_channels"]
            (folder / "vae" / "config.json").write_text(json.dumps(config))
        (folder / "scheduler").mkdir()
        (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
        index |= {"_class_name": self.family.pipelines[0], "scheduler": ["diffusers", scheduler["_class_name"]]}
        (folder / "model_index.json").write_text(json.dumps(index))


def sdxl() -> Parts:
    """Three levels, two CLIPs of 32 channels, street-mini's autoencoder and vocabulary."""
    import diffusers

    folder = find_model("street-mini")
    tokenizer = networks.build_tokenizer(*read_vocabulary(folder / "tokenizer"), max_length=18)
    vae = networks.read_autoencoder(folder)
    unet = diffusers.UNet2DConditionModel(
        sample_size=(20, 36), block_out_channels=(32, 48, 64), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"), cross_attention_dim=64, attention_head_dim=2,
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
    )  # fmt: skip
    first, second = (networks.build_text_encoder(tokenizer, width=32, layers=2, projection=p) for p in (False, True))
    tokenizers = {"tokenizer": tokenizer, "tokenizer_2": tokenizer}
    return {"unet": unet, "vae": vae, "text_encoder": first, "text_encoder_2": second, **tokenizers}


def chat_tokenizer() -> Any:
    """Byte pairs of the template and of our prompts, in Qwen's format; the template is 34 tokens long, as Qwen's is."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    learnt.train_from_iterator(
        CORPUS * 3, trainers.BpeTrainer(vocab_size=1000, initial_alphabet=letters, show_progress=False)
    )
    content = json.loads(learnt.to_str())["model"]
    merges: Any = [(left, right) for left, right in content["merges"]]  # annotated as strings, read as pairs
    tokenizer = Qwen2Tokenizer(vocab=content["vocab"], merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHAT
    return tokenizer


def qwen3(layers: int, attention: float = 1.0) -> Parts:
    """A small Qwen3 as it was drawn, its words as large as its layers' answers, and its tokenizer.

    Values and outputs of its attention are so many times as large as drawn: tokens then know of those before them.
    """
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = chat_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=TEXT, intermediate_size=2 * TEXT, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    encoder = Qwen3Model(config).eval().requires_grad_(False)
    encoder.embed_tokens.weight.mul_(networks.TOKEN_SCALE)
    for layer in encoder.layers:
        for part in (layer.self_attn.v_proj, layer.self_attn.o_proj):
            part.weight.mul_(attention)
    return {"text_encoder": encoder, "tokenizer": tokenizer}


def flux2() -> Parts:
    """Two double and two single blocks of 96 channels; colours are scaled by the batch norm of the autoencoder."""
    import diffusers

    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1, in_channels=4 * COLOURS, num_layers=2, num_single_layers=2, attention_head_dim=32,
        num_attention_heads=3, joint_attention_dim=3 * TEXT, timestep_guidance_channels=64, mlp_ratio=2.0,
        axes_dims_rope=(8, 8, 8, 8), guidance_embeds=False,
    )  # fmt: skip
    vae = pass_pixels(diffusers.AutoencoderKLFlux2(**KL))
    vae.bn.running_mean.copy_(torch.tensor(MEAN).repeat_interleave(4))
    vae.bn.running_var.copy_(torch.tensor(DEVIATION).square().repeat_interleave(4))
    return {"transformer": transformer, "vae": vae, **qwen3(28)}


def z_image() -> Parts:
    """Three layers of 96 channels and two refiners; one scale and shift for all colours."""
    import diffusers

    transformer: Any = diffusers.ZImageTransformer2DModel(
        in_channels=COLOURS, dim=96, n_layers=3, n_refiner_layers=1, n_heads=3, n_kv_heads=3, cap_feat_dim=TEXT,
        axes_dims=[8, 12, 12], axes_lens=[1024, 64, 64],
    )  # fmt: skip
    for name in ("x_pad_token", "cap_pad_token"):  # left uninitialised
        torch.nn.init.normal_(transformer.get_parameter(name), std=0.02)
    scales = {"scaling_factor": 1 / float(np.mean(DEVIATION)), "shift_factor": float(np.mean(MEAN))}
    return {"transformer": transformer, "vae": pass_pixels(diffusers.AutoencoderKL(**KL, **scales)), **qwen3(3, 4.0)}


def qwen_image() -> Parts:
    """Three layers of 96 channels; a mean and a deviation for each colour."""
    import diffusers
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=4 * COLOURS, out_channels=COLOURS, num_layers=3, attention_head_dim=32, num_attention_heads=3,
        joint_attention_dim=TEXT, axes_dims_rope=(8, 12, 12),
    )  # fmt: skip
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=CHANNELS, z_dim=COLOURS, dim_mult=[1], num_res_blocks=1, temperal_downsample=[], latents_mean=MEAN,
        latents_std=DEVIATION,
    )  # fmt: skip
    tokenizer = chat_tokenizer()
    text = {
        "vocab_size": len(tokenizer), "hidden_size": TEXT, "intermediate_size": 2 * TEXT, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
    }  # fmt: skip
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": TEXT}
    encoder = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision))
    encoder.eval().requires_grad_(False).get_input_embeddings().weight.mul_(networks.TOKEN_SCALE)
    return {"transformer": transformer, "vae": pass_pixels(vae), "text_encoder": encoder, "tokenizer": tokenizer}


TOYS = {
    "sdxl": Toy(SDXL, (144, 80), sdxl, 500, 1e-3),
    "flux2-klein": Toy(FLUX2, (48, 28), flux2, 150),
    "z-image": Toy(Z_IMAGE, (48, 28), z_image, 600, fresh=0.4),
    "qwen-image": Toy(QWEN_IMAGE, (48, 28), qwen_image, 300),
}


def learnt_error(model: LatentModel, table: Context) -> Objective:
    """Squared error of a model's v or velocity, each level shown to a share of the batch.

    Tokens are rows of `table`, `b 1`.
    """
    of_eps = velocity_from_eps if model.prediction_type == "velocity" else v_from_eps
    total = model.schedule.total

    def error(_: torch.nn.ModuleDict, clean: torch.Tensor, noise: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        square = torch.empty_like(clean)
        for k, share in enumerate(stratified_times(LEVELS).tolist()):
            t, own = min(int(share * total), total - 1), slice(k, None, LEVELS)
            abar = model.schedule.abar(t)
            noisy = abar**0.5 * clean[own] + (1 - abar) ** 0.5 * noise[own]
            with torch.autocast(clean.device.type, torch.bfloat16, enabled=model.prediction_type == "velocity"):
                eps = model.denoiser(noisy, t, table[rows[own, 0]])
            square[own] = (of_eps(eps.float(), noisy, abar) - of_eps(noise[own], noisy, abar)).square()
        return square

    return error


def train(toy: Toy, work: Path) -> Path:
    """Fresh noise for the first updates, then half the samples from seeds of days; gives the weights."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    parts, streets = toy.build(), StreetSettings(rng_key=KEY, size=toy.size, most=STREETS)
    source = StreetFolder(work / "streets", streets)
    source.folder.mkdir(parents=True, exist_ok=True)
    for index in range(STREETS):
        source.render(index)
    name = toy.family.denoiser
    training = dn.start_training({name: parts[name]}, toy.lr)
    taught, average = (toy.model(parts | {name: n[name]}) for n in (training.networks, training.average))
    texts: list[str] = []

    def number(prompts: list[str]) -> torch.Tensor:
        texts.extend(prompts)
        return torch.arange(len(prompts))[:, None]

    prompts = PromptBank.write(number, PROMPTS, np.random.default_rng(0))
    objective = learnt_error(taught, average.embed(texts))
    fresh: Parts = {"batch": 8, "lr": toy.lr, "warm_up": 30, "ema": 0.99, "offset_noise": 0.0, "new_street_every": 1}
    fresh |= {"aligned_share": 0.0, "aligned_prompt_dropout": 0.08, "refresh_every": 10_000, "save_every": 1e9}
    fresh |= {"steps": round(toy.fresh * toy.steps)}
    aligned = fresh | {"steps": toy.steps, "aligned_share": 0.5, "decay_from": 0.7, "refresh_every": 20}
    for first, settings in ((16, fresh), (32, aligned)):
        own = replace(source, settings=streets.model_copy(update={"first": first}))
        bank = StreetBank.empty(average, toy.size, STREETS)
        (work / "seeds.safetensors").unlink(missing_ok=True)  # the second phase inverts with what the first has learnt
        train_aligned(
            training, bank, StreetLoader(own), prompts, [], AlignedSettings(**settings), work, objective, seconds=1e9
        )
    return write_weights(toy, parts | {name: training.average[name]}, work / "weights.safetensors", training.step)


def write_weights(toy: Toy, parts: Mapping[str, Any], path: Path, step: int) -> Path:
    """Denoising network and text encoders in float16; the autoencoder is made anew."""
    tensors: dict[str, torch.Tensor] = {}
    for name, part in parts.items():
        if name == toy.family.denoiser or name.startswith("text_encoder"):
            tensors |= pack(name, {k: v.half() if v.is_floating_point() else v for k, v in part.state_dict().items()})
    save_checkpoint(path, tensors, {"step": step})
    return path


def package(toy: Toy, weights: Path, folder: Path) -> int:
    """A toy's weights as a folder that `load_model` opens; gives its training step."""
    parts, (tensors, state) = toy.build(), load_checkpoint(weights)
    for name, part in parts.items():
        if own := unpack(name, tensors):
            part.load_state_dict(own)
    toy.write(folder, parts)
    return int(state["step"])


def open_toy(toy: Toy, folder: Path) -> LatentModel:
    """As `load_model` opens it, at the size of its streets: large models' native size is no part of their files."""
    return replace(load_model(folder, self_test=False), native_size=toy.size)


def measure(toy: Toy, folder: Path, work: Path) -> dict[str, Any]:
    """Self-test, round trip and the whole method on nine streets that the toy was not trained on."""
    model = open_toy(toy, folder)
    found = measure_model(model)
    source = StreetFolder(work, StreetSettings(rng_key=HELD_OUT, size=toy.size))
    work.mkdir(parents=True, exist_ok=True)
    streets = torch.stack([source.render(index) for index in range(9)]).float() / 127.5 - 1
    pixels = streets[:3, DAY]
    with torch.no_grad():
        clean = model.encode(pixels)
        predict = with_context(model.denoiser, model.embed([canonical_prompt("day")] * 3))
        at_night = with_context(model.denoiser, model.embed([canonical_prompt("night")] * 3))
        back: dict[str, float] = {}
        for steps in (4, 10, 20):
            seeds = ddim.invert(predict, clean, model.schedule, steps)[-1]
            back[str(steps)] = decibels(model.decode(ddim.sample(predict, seeds, model.schedule, steps)), pixels)
        night = model.decode(ddim.sample(at_night, seeds, model.schedule, 20))
    return {
        "self_test": {"residual": found.residual, "round_trip_db": found.round_trip_db, "likely": found.likely},
        "autoencoder_db": decibels(model.decode(clean), pixels), "round_trip_db": back,
        "night_db": decibels(night, streets[:3, NIGHT]), "day_to_night_db": decibels(pixels, streets[:3, NIGHT]),
        "distance_left": distance_left(model, streets, work),
    }  # fmt: skip


def decibels(made: torch.Tensor, wanted: torch.Tensor) -> float:
    """PSNR of pixels in [-1, 1]."""
    return float(10 * (4 / (made - wanted).square().mean()).log10())


def distance_left(model: LatentModel, streets: torch.Tensor, work: Path) -> float:
    """Mean distance of S2ST's night to the true one over the day's, on the last streets; a profile of the first."""
    shown = ((streets + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2).numpy()
    for name, condition in (("day", DAY), ("night", NIGHT)):
        (work / name).mkdir(exist_ok=True)
        for index in range(6):
            (work / name / f"{index}.png").write_bytes(encode_png(shown[index, condition]))
    day = measure_photos(model, [ReferencePhotos(work / "day")], "day", canonical_prompt("day"))
    night = [ReferencePhotos(work / "night")]
    profile = build_profile(model, "night", canonical_prompt("night"), night, {"day": day})
    settings = MethodSettings(steps=10, st_iterations=5, to_iterations=1, guidance=2.0, to_method="latents")
    made = Translator(model, {"night": profile}, settings).translate(list(shown[6:, DAY]), ["night"])
    truth = shown[6:, NIGHT].astype(float)
    nights = [one["night"] for one in made]
    images = [night.image for night in nights if isinstance(night, Translated)]
    after = np.mean([np.abs(image - true).mean() for image, true in zip(images, truth, strict=True)])
    return float(after / np.abs(shown[6:, DAY] - truth).mean())


def main() -> None:
    """Train, or write a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=TOYS)
    parser.add_argument("--work", type=Path, help="train there")
    parser.add_argument("--package", type=Path, help="write the folder there")
    parser.add_argument("--weights", type=Path, help="of the folder; default: those just trained")
    parser.add_argument("--json", type=Path, help="measure the folder into this file")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    weights = given.weights
    if given.work:
        weights = train(TOYS[given.name], given.work)
    if given.package:
        log.info("%s: step %d", given.package, package(TOYS[given.name], weights, given.package))
    if given.json:
        with tempfile.TemporaryDirectory() as work:
            found = measure(TOYS[given.name], given.package, Path(work))
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
