FROM busybox AS one
RUN mkdir -p /o/p && echo x >/o/p/x && chown -R 7:8 /o && chmod 750 /o/p && ln -s x /o/p/l && ln /o/p/x /o/h
FROM scratch
COPY --from=one /o /o
COPY --from=one /o/p/l /l
COPY --from=one --chown=0:0 /o/p/ /q/
