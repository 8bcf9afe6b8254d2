# asd_ray in a container; docs/install.md explains it.
#
#   docker build -t asd-ray .
#   docker run --rm -it --shm-size=1g -v "$PWD:/data" --user "$(id -u):$(id -g)" asd-ray search press --data recordings/
#
# On a computer with GPUs add --gpus all. The build takes packages from where pip takes them; name another index with
# --build-arg PIP_INDEX_URL=…

FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/asd_ray
ENV PATH=/opt/asd_ray/bin:$PATH PIP_NO_CACHE_DIR=1
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# Torch comes first: it stays in the build's cache while the code changes.
WORKDIR /src
COPY constraints.txt .
RUN pip install -c constraints.txt torch
COPY . .
ARG EXTRAS=serve,mqtt,onnx
RUN pip install -c constraints.txt ".[$EXTRAS]"

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/asd_ray /opt/asd_ray
# Any user may run it (--user), so that the results belong to that user. Ray and torch ask for the user's name.
RUN mkdir -m 1777 /home/asd_ray
ENV PATH=/opt/asd_ray/bin:$PATH HOME=/home/asd_ray USER=asd_ray
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["asd-ray"]
CMD ["--help"]
