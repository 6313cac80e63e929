FROM busybox
RUN echo "$http_proxy $HTTP_PROXY" >/x
