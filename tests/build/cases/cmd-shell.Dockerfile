FROM busybox
CMD echo $HOME && true
