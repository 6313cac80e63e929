FROM busybox
RUN echo one >/one
FROM scratch
COPY --from=0 /one /copied
