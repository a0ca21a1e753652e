# The gateway (and every other command) in one small image; the project is mounted at /project.
FROM python:3.12-slim

RUN useradd --create-home --uid 10001 unskew
WORKDIR /opt/unskew
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY featurestore featurestore
COPY gateway gateway
COPY lifecycle lifecycle
COPY unskew unskew
COPY examples examples
# Only what serving needs, at the tested versions: hashes would ask for every extra, so they are left to make setup.
RUN sed -e '/--hash=/d' -e 's/ *\\$//' constraints.txt > pins.txt \
    && pip install --no-cache-dir --constraint pins.txt .

USER unskew
WORKDIR /project
ENTRYPOINT ["unskew"]
CMD ["serve"]
