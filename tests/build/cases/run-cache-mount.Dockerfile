FROM busybox
RUN --mount=type=cache,target=/c echo x >/c/x
RUN --mount=type=cache,target=/c cp /c/x /y
