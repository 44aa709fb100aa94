# syntax=docker/dockerfile:1
# The proxy alone, static, in an empty image: no shell, no package, not root.
# Never built where it was written, which has no Docker engine: docs/decisions.md says what was checked.

FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base=~0.5
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package godex \
    && install -D target/release/godex /image/usr/local/bin/godex \
    && install -d -o 65532 -g 65532 -m 0700 /image/home/godex/.codex /image/home/godex/.local/state/godex \
    && install -d -m 1777 /image/tmp

FROM scratch
COPY --from=build /image /
USER 65532:65532
# In the network of a container the proxy has to listen to all of it. Publish the port on
# 127.0.0.1, as compose.yaml does, or put TLS in front.
ENV HOME=/home/godex \
    GODEX_PROXY_LISTEN=0.0.0.0:39001 \
    GODEX_PROXY_INSECURE_HTTP=true
# The login, the keys and the usage log.
VOLUME /home/godex/.codex
EXPOSE 39001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/godex", "status"]
ENTRYPOINT ["/usr/local/bin/godex"]
CMD ["proxy"]
