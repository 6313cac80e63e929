#!/bin/sh
echo "$APP_VERSION $MODE"
