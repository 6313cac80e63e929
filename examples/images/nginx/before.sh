# The user and its id as in the image on Docker Hub: files on volumes keep their owner.
groupadd --system --gid 101 nginx
useradd --system --uid 101 --gid nginx --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin nginx
