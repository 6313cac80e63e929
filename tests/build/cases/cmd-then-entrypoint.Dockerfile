FROM busybox
CMD ["c"]
ENTRYPOINT ["e", "f"]
