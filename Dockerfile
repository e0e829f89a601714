# Detection without the training stack. Not yet built: no Docker was at hand.
#
#     docker build -t oil-storage .
#     docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/data" oil-storage detect scene.tif
FROM python:3.13-slim

COPY setup.cfg pyproject.toml README.md LICENSE LICENSE-WEIGHTS /src/
COPY oil_storage /src/oil_storage
RUN pip install --no-cache-dir '/src[openvino]' && rm -r /src && useradd --create-home --uid 1000 analyst

USER 1000
WORKDIR /data
ENTRYPOINT ["oil-storage"]
