ARG IMAGE=nothing
ARG TAG=latest
FROM ${IMAGE}:${TAG}
RUN echo x >/x
