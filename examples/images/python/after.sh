ln -s /usr/bin/python3 /usr/local/bin/python
# Python's own tests and documentation are not needed to run programs.
rm -rf /usr/lib/python3*/test /usr/lib/python3*/idlelib /usr/lib/python3*/turtledemo
