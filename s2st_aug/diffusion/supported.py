"""Which layouts can be used, told from their configs alone: before weights are read or downloaded.

What is not on a list here is refused by its name: a part that we would ignore could change every image in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s2st_aug.diffusion.distilled import refuse_distilled
from s2st_aug.diffusion.families import FAMILIES, SDXL, Family
from s2st_aug.errors import ModelError

Config = Mapping[str, Any]

REFUSED = {
    "FluxPipeline": "FLUX.1 is guidance-distilled; use black-forest-labs/FLUX.2-klein-base-4B",
    "Flux2Pipeline": "FLUX.2-dev is guidance-distilled; use black-forest-labs/FLUX.2-klein-base-4B",
    "StableDiffusion3InpaintPipeline": "an inpainting model needs a mask; use the model that it was made from",
    "QwenImageEditPipeline": "an editing model needs the source beside the prompt; use Qwen/Qwen-Image",
    "QwenImageEditPlusPipeline": "an editing model needs the source beside the prompt; use Qwen/Qwen-Image",
    "ZImageOmniPipeline": "an editing model needs the source beside the prompt; use Tongyi-MAI/Z-Image",
    "LatentConsistencyModelPipeline": "a model distilled to few steps cannot be inverted; use its base model",
    "StableDiffusionInpaintPipeline": "an inpainting model needs a mask; use the model that it was made from",
    "StableDiffusionDepth2ImgPipeline": "a depth model needs a depth map; use the model that it was made from",
    "StableDiffusionXLInpaintPipeline": "an inpainting model needs a mask; use the model that it was made from",
    "StableDiffusionUpscalePipeline": "an upscaler needs a small image; use a text-to-image model",
    "StableDiffusionInstructPix2PixPipeline": "it needs the source as input; use it in a method of your own",
}
"""Pipeline -> why it is refused"""
SCHEDULERS = (
    "DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler", "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler", "DPMSolverSDEScheduler", "KDPM2DiscreteScheduler", "UniPCMultistepScheduler",
    "KDPM2AncestralDiscreteScheduler",
)  # fmt: skip
"""solvers of models that were trained on noise at a schedule's levels: the schedule is read, the solver is ours"""
SCHEDULE_KEYS = {
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
    "timestep_spacing", "steps_offset", "set_alpha_to_one", "rescale_betas_zero_snr",
}  # fmt: skip
"""what is read of a scheduler's config"""
SOLVER_KEYS = {
    "skip_prk_steps", "solver_order", "solver_type", "algorithm_type", "lower_order_final", "euler_at_final",
    "use_karras_sigmas",
    "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "interpolation_type", "predict_x0", "solver_p",
    "disable_corrector", "clip_sample_range", "sample_max_value", "dynamic_thresholding_ratio", "variance_type",
    "lambda_min_clipped", "final_sigmas_type", "timestep_type", "eta", "noise_sampler_seed",
}  # fmt: skip
"""how a solver would walk; nothing of it is part of the model"""
UNET_KEYS = {
    "sample_size", "in_channels", "out_channels", "center_input_sample", "flip_sin_to_cos", "freq_shift",
    "down_block_types", "mid_block_type", "up_block_types", "only_cross_attention", "block_out_channels",
    "layers_per_block", "downsample_padding", "mid_block_scale_factor", "dropout", "act_fn", "norm_num_groups",
    "norm_eps",
    "cross_attention_dim", "transformer_layers_per_block", "reverse_transformer_layers_per_block", "attention_head_dim",
    "num_attention_heads", "dual_cross_attention", "use_linear_projection", "upcast_attention",
    "resnet_time_scale_shift",
    "resnet_skip_time_act", "resnet_out_scale_factor", "time_embedding_type", "time_embedding_dim",
    "time_embedding_act_fn", "timestep_post_act", "conv_in_kernel", "conv_out_kernel", "attention_type",
    "mid_block_only_cross_attention", "cross_attention_norm", "addition_embed_type_num_heads",
}  # fmt: skip
"""keys that only say how a UNet is built; what else is not at its default asks for an input that nothing gives"""
TRANSFORMER_KEYS = {
    "sample_size", "patch_size", "in_channels", "out_channels", "num_layers", "num_single_layers", "attention_head_dim",
    "num_attention_heads", "joint_attention_dim", "caption_projection_dim", "pooled_projection_dim",
    "pos_embed_max_size", "dual_attention_layers", "qk_norm", "timestep_guidance_channels", "mlp_ratio",
    "axes_dims_rope", "rope_theta", "eps", "all_patch_size", "all_f_patch_size", "dim", "n_layers", "n_refiner_layers",
    "n_heads", "n_kv_heads", "norm_eps", "cap_feat_dim", "t_scale", "axes_dims", "axes_lens",
}  # fmt: skip
"""keys that only say how a flow's transformer is built"""
FLOW_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
FLOW_KEYS = {
    "num_train_timesteps", "shift", "use_dynamic_shifting", "base_shift", "max_shift", "base_image_seq_len",
    "max_image_seq_len", "time_shift_type", "shift_terminal", "use_karras_sigmas", "use_exponential_sigmas",
    "use_beta_sigmas", "stochastic_sampling",
}  # fmt: skip
"""what is read of a flow's scheduler, and how its solver would walk"""
SDXL_KEYS = {"addition_time_embed_dim", "projection_class_embeddings_input_dim"}
"""and what SDXL's sizes need"""
CAUSES = {
    "time_cond_proj_dim": "a guidance-distilled model (LCM), which has no guidance of its own and cannot be inverted",
    "class_embed_type": "it is conditioned on a class or a noise level",
    "num_class_embeds": "it is conditioned on a class",
    "addition_embed_type": "it needs more than a prompt (SDXL's sizes, or an image)",
    "is_distilled": "it is distilled to few steps; use black-forest-labs/FLUX.2-klein-base-4B",
    "guidance_embeds": "it is guidance-distilled; use the base model, such as black-forest-labs/FLUX.2-klein-base-4B",
    "siglip_feat_dim": "it needs an image beside the prompt",
    "zero_cond_t": "it needs an image beside the prompt",
    "use_additional_t_cond": "it makes layers, not images",
    "use_layer3d_rope": "it makes layers, not images",
    "invert_sigmas": "its noise levels run the other way",
    "requires_aesthetics_score": "SDXL's refiner; use stabilityai/stable-diffusion-xl-base-1.0",
    "encoder_hid_dim_type": "it needs an image beside the prompt",
    "thresholding": "it clips pixels, and these are latents",
    "clip_sample": "it clips latents at 1",
    "use_flow_sigmas": "it is a rectified flow",
    "sigma_data": "it was trained as EDM, on other noise levels",
    "original_inference_steps": "it is distilled to few steps",
}


def refuse_configs(where: str, configs: Mapping[str, Config], family: Family) -> None:
    """Raises ModelError, one line, for a layout that cannot be used.

    `configs` are those that are there of `model_index`, `scheduler`, `unet` and `vae`.
    """
    refuse_distilled(where, configs)
    _refuse_pipeline(where, configs.get("model_index", {}))
    _refuse_scheduler(where, configs.get("scheduler", {}), family)
    if family.is_flow:
        _refuse_transformer(where, configs, family)
        return
    _refuse_unet(where, configs.get("unet", {}), family)
    channels = configs.get("unet", {}).get("in_channels", 4)
    latent = configs.get("vae", {}).get("latent_channels", 4)
    if configs.get("unet") and channels != latent:
        raise ModelError(
            f"{where}: the UNet takes {channels} channels and the autoencoder gives {latent} "
            "(an inpainting or depth model?)"
        )


def _refuse_pipeline(where: str, index: Config) -> None:
    name = index.get("_class_name", FAMILIES[0].pipelines[0])
    known = any(name in family.pipelines for family in FAMILIES)
    if not known:
        names = ", ".join(family.name for family in FAMILIES)
        raise ModelError(f"{where}: model_index.json says {name}: {REFUSED.get(name, f'expected a model of {names}')}")
    marks = {key: index[key] for key in ("requires_aesthetics_score", "is_distilled") if index.get(key)}
    _refuse_keys(f"{where}: model_index.json", marks)


def _refuse_transformer(where: str, configs: Mapping[str, Config], family: Family) -> None:
    for component, expected in (("transformer", (family.denoiser_class,)), ("vae", family.autoencoders)):
        if component in configs and (name := configs[component].get("_class_name")) not in expected:
            raise ModelError(f"{where}: {component} is a {name}, expected a {' or '.join(expected)}")
    config = configs.get("transformer", {})
    _refuse_keys(f"{where}: transformer", {k: v for k, v in config.items() if k not in TRANSFORMER_KEYS})


def _refuse_scheduler(where: str, config: Config, family: Family) -> None:
    name = config.get("_class_name", "DDIMScheduler")
    if family.is_flow:
        if config and name not in FLOW_SCHEDULERS:
            raise ModelError(f"{where}: scheduler is a {name}, expected a {FLOW_SCHEDULERS[0]}")
        _refuse_keys(f"{where}: scheduler", {k: v for k, v in config.items() if k not in FLOW_KEYS})
        return
    if name not in SCHEDULERS:
        raise ModelError(
            f"{where}: scheduler is a {name}: a model that is trained on another noise, or distilled to few steps; "
            "use the model that it was made from, with its own scheduler"
        )
    asked = {key: value for key, value in config.items() if key not in SCHEDULE_KEYS | SOLVER_KEYS}
    _refuse_keys(f"{where}: scheduler", asked)


def _refuse_unet(where: str, config: Config, family: Family) -> None:
    if not config:
        return
    name = config.get("_class_name")
    if name != family.denoiser_class:
        raise ModelError(f"{where}: unet is a {name}, expected a {family.denoiser_class}")
    asked = {key: value for key, value in config.items() if key not in UNET_KEYS}
    added = asked.get("addition_embed_type")
    if family is SDXL and added != "text_time":
        raise ModelError(f"{where}: unet has addition_embed_type: {added!r}, expected SDXL's 'text_time'")
    if family is SDXL or added == "text":  # the prompt, pooled: the UNet makes it of what it is given
        del asked["addition_embed_type"]
    _refuse_keys(f"{where}: unet", {k: v for k, v in asked.items() if family is not SDXL or k not in SDXL_KEYS})
    if config.get("sample_size") is None:
        raise ModelError(f"{where}: unet/config.json has no sample_size: add the latent size that it was trained at")


def _refuse_keys(where: str, asked: Config) -> None:
    """Keys that are on no list must be null or false, which is their default."""
    for key, value in asked.items():
        if not key.startswith("_") and value not in (None, False):
            raise ModelError(f"{where} has {key}: {value!r}: {CAUSES.get(key, 'this setting is not supported')}")
