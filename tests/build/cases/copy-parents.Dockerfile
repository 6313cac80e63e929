# syntax=docker/dockerfile:1
FROM busybox
COPY --parents dir/sub/three.txt dir/*.md /p/
COPY --parents dir/./sub/deep /q/
