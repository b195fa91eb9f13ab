# The service and, on x86-64, a mongod for its embedded database: MongoDB's own program, under its licence (SSPL). In
# production name a MongoDB replica set with EVENT_SERVICE_MONGODB_URI.
#
#   docker build -t event-service .
#   docker run -p 127.0.0.1:50051:50051 -p 127.0.0.1:8080:8080 -v events:/var/lib/event-service event-service serve --insecure
#
# Inside a container the service has to listen beyond loopback, which it refuses without authentication: mount a key
# set and set EVENT_SERVICE_AUTH=jwt and EVENT_SERVICE_JWKS_FILE, or use --insecure as above.
# tests/e2e/test_dockerfile.py goes through these steps without Docker.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG SOURCE=/source
ARG PREFIX=/opt/event-service
WORKDIR ${SOURCE}
COPY constraints.txt ./
# pip itself first, since those before 26 do not take hashes from constraints.
RUN sed -n '/^pip==/,/[^\\]$/p' constraints.txt > pip.txt
RUN python -m pip install --quiet --no-cache-dir --require-hashes --requirement pip.txt
RUN python -m pip install --quiet --no-cache-dir --require-hashes --constraint constraints.txt hatchling cyclonedx-bom
RUN python -m venv --without-pip ${PREFIX}
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
RUN echo "event-service[embedded,otel] @ file://$(echo ${SOURCE}/dist/*.whl)#sha256=$(sha256sum dist/*.whl | cut -c1-64)" > wheel.txt
RUN python -m pip --python ${PREFIX} install --quiet --no-cache-dir --require-hashes --constraint constraints.txt --requirement wheel.txt
# The software bill of materials, in CycloneDX's format.
RUN python -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible --output-file ${PREFIX}/sbom.cdx.json ${PREFIX}/bin/python

FROM python:${PYTHON}-slim
ARG PREFIX=/opt/event-service
ARG DATA=/var/lib/event-service
# What mongod is linked against and the base image lacks.
RUN apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends libcurl4 && rm -r /var/lib/apt/lists
RUN useradd --system --uid 10001 --home-dir ${DATA} --no-create-home event-service
RUN install --directory --owner=10001 --group=10001 --mode=0700 ${DATA}
COPY --from=build ${PREFIX} ${PREFIX}
ENV PATH=${PREFIX}/bin:${PATH}
ENV PYTHONUNBUFFERED=1
ENV EVENT_SERVICE_DATA_DIR=${DATA}
ENV EVENT_SERVICE_GRPC_ADDRESS=0.0.0.0:50051
ENV EVENT_SERVICE_HTTP_ADDRESS=0.0.0.0:8080
USER 10001
VOLUME ${DATA}
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=40s CMD ["event-service", "health"]
ENTRYPOINT ["event-service"]
CMD ["serve"]
