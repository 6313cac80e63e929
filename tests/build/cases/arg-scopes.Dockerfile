ARG G=global
FROM busybox AS a
ARG G
ARG S=stage
RUN echo "$G $S" >/a
FROM a
RUN echo "$G $S" >/b
FROM busybox
ARG G
COPY --from=1 /a /b /
RUN echo "[$G] [$S]" >/c
