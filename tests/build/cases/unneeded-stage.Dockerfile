FROM nowhere.invalid/none AS unneeded
RUN false
FROM busybox
RUN echo x >/x
