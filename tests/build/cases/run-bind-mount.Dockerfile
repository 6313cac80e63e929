# syntax=docker/dockerfile:1
# Old engines leave the places that were mounted on behind; newer ones and this one do not.
FROM busybox AS one
RUN mkdir /o && echo one >/o/one
FROM busybox
RUN --mount=type=bind,target=/ctx --mount=from=one,source=/o,target=/o,rw cat /ctx/a.txt /o/one >/x && echo y >/o/two
