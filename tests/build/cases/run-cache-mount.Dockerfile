# syntax=docker/dockerfile:1
# Old engines leave the places that were mounted on behind; newer ones and this one do not.
FROM busybox
RUN --mount=type=cache,target=/c echo x >/c/x
RUN --mount=type=cache,target=/c cp /c/x /y
