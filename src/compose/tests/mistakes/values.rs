//! Values of another kind than the key takes.

use super::show;

#[test]
fn a_single_value_where_a_list_is_asked_for_shows_the_list() {
    let texts = [r#"services:
  web:
    image: nginx
    ports: 80:80
    volumes: ./a:/a
    networks: front
    depends_on: db
    cap_add: NET_ADMIN
    profiles: dev
"#];
    insta::assert_snapshot!(show(&texts, 80), @r#"
    error: `services.web.ports` must be a list, not text
     --> compose.yaml:4:12
      |
    4 |     ports: 80:80
      |            ^^^^^
      |
      = help: write a list: `["80:80"]`

    error: `services.web.volumes` must be a list, not text
     --> compose.yaml:5:14
      |
    5 |     volumes: ./a:/a
      |              ^^^^^^
      |
      = help: write a list: `["./a:/a"]`

    error: `services.web.networks` must be a list or a mapping, not text
     --> compose.yaml:6:15
      |
    6 |     networks: front
      |               ^^^^^
      |
      = help: write a list: `["front"]`

    error: `services.web.depends_on` must be a list or a mapping, not text
     --> compose.yaml:7:17
      |
    7 |     depends_on: db
      |                 ^^
      |
      = help: write a list: `["db"]`

    error: `services.web.cap_add` must be a list, not text
     --> compose.yaml:8:14
      |
    8 |     cap_add: NET_ADMIN
      |              ^^^^^^^^^
      |
      = help: write a list: `["NET_ADMIN"]`

    error: `services.web.profiles` must be a list, not text
     --> compose.yaml:9:15
      |
    9 |     profiles: dev
      |               ^^^
      |
      = help: write a list: `["dev"]`
    "#);
}

#[test]
fn a_mapping_in_a_list_of_pairs_shows_the_pair() {
    let texts = [
        r#"services:
  web:
    image: nginx
    ports:
      - 22:22
      - 56:56
    restart: no
    user: 0755
    environment:
      - A: b
"#,
        r#"services:
  web:
    image: nginx
    environment:
      - A = b
      - C: d
    labels:
      x y
"#,
    ];
    insta::assert_snapshot!(show(&texts, 80), @r#"
    error: `services.web.user` must be text, not a whole number
     --> compose.yaml:8:11
      |
    8 |     user: 0755
      |           ^^^^
      |
      = help: put it in quotes: "0755"

    error: `services.web.environment[0]` must be text, not a mapping
      --> compose.yaml:10:9
       |
    10 |       - A: b
       |         ^^^^
       |
       = help: write `A=b`

    error: `services.web.environment[1]` must be text, not a mapping
     --> compose.yaml:6:9
      |
    6 |       - C: d
      |         ^^^^
      |
      = help: write `C=d`

    error: `services.web.labels` must be a mapping or a list of `KEY=value`, not
           text
     --> compose.yaml:8:7
      |
    8 |       x y
      |       ^^^
    "#);
}

#[test]
fn nothing_in_the_place_of_a_value_is_told() {
    let texts = [
        r#"services:
  web:
    image: nginx
    environment:
    ports:
  db:
volumes:
"#,
        r#"services:
  web:
    ports: ['80:80']
"#,
    ];
    insta::assert_snapshot!(show(&texts, 80), @r"
    error: `services.web.environment` must be a mapping or a list of `KEY=value`,
           not nothing
     --> compose.yaml:4:16
      |
    4 |     environment:
      |                ^
      |
      = help: give it a value, or take the key out; what is below it must be
              indented

    error: `services.web.ports` must be a list, not nothing
     --> compose.yaml:5:10
      |
    5 |     ports:
      |          ^
      |
      = help: give it a value, or take the key out; what is below it must be
              indented

    error: `services.db` must be a mapping, not nothing
     --> compose.yaml:6:5
      |
    6 |   db:
      |     ^
      |
      = help: say what `db` runs, with `image:` or `build:`; what is below it must
              be indented

    error: `volumes` must be a mapping, not nothing
     --> compose.yaml:7:8
      |
    7 | volumes:
      |        ^
      |
      = help: give it a value, or take the key out; what is below it must be
              indented

    error: the service `web` has no image
     --> compose.yaml:2:3
      |
    2 |   web:
      |   ^^^
      |
      = help: add `image: NAME` to `web`, or `build: DIRECTORY`
    ");
}

#[test]
fn values_of_the_wrong_kind_show_the_right_one() {
    let texts = [
        r#"services:
  web:
    image: nginx
    healthcheck:
      test: [curl, -f, localhost]
      interval: 30
      retries: three
"#,
        r#"services:
  web:
    image: nginx
    mem_limit: 512MBs
    cpus: half
    deploy:
      replicas: two
    restart: allways
    pull_policy: sometimes
"#,
        r#"services:
  a: {image: a, depends_on: {b: {condition: healthy}}}
  b: {image: b}
"#,
        r#"services:
  a:
    image: a
    privileged: 1
    tty: 'ture'
    init: nope
"#,
    ];
    insta::assert_snapshot!(show(&texts, 80), @r#"
    error: `services.web.healthcheck.test` must start with `NONE`, `CMD` or
           `CMD-SHELL`
     --> compose.yaml:5:14
      |
    5 |       test: [curl, -f, localhost]
      |              ^^^^
      |
      = help: a program and its arguments: `["CMD", "curl", "localhost"]`

    error: `services.web.healthcheck.interval` is not a duration: `30`: `30` has
           no unit
     --> compose.yaml:6:17
      |
    6 |       interval: 30
      |                 ^^
      |
      = help: add a unit: `30s`

    error: `services.web.healthcheck.retries` must be a whole number, not `three`
     --> compose.yaml:7:16
      |
    7 |       retries: three
      |                ^^^^^

    error: `services.web.mem_limit` is not a size: `512MBs`: `MBs` is not a unit
     --> compose.yaml:4:16
      |
    4 |     mem_limit: 512MBs
      |                ^^^^^^
      |
      = help: a size is a number of bytes or has a unit: `512k`, `64m`, `1.5g`

    error: `services.web.cpus` must be a number, not `half`
     --> compose.yaml:5:11
      |
    5 |     cpus: half
      |           ^^^^

    error: `services.web.deploy.replicas` must be a whole number, not `two`
     --> compose.yaml:7:17
      |
    7 |       replicas: two
      |                 ^^^

    error: `services.web.pull_policy` cannot be `sometimes`
     --> compose.yaml:9:18
      |
    9 |     pull_policy: sometimes
      |                  ^^^^^^^^^
      |
      = help: use `always`, `missing`, `never`, `build`, `daily`, `weekly` or
              `every_<DURATION>`

    error: `services.a.depends_on.b.condition` must be one of `service_started`,
           `service_healthy`, `service_completed_successfully`
     --> compose.yaml:2:45
      |
    2 |   a: {image: a, depends_on: {b: {condition: healthy}}}
      |                                             ^^^^^^^
      |
      = help: did you mean `service_healthy`?

    error: `services.a.privileged` must be true or false, not a whole number
     --> compose.yaml:4:17
      |
    4 |     privileged: 1
      |                 ^
      |
      = help: write `true`

    error: `services.a.tty` must be true or false, not `ture`
     --> compose.yaml:5:10
      |
    5 |     tty: 'ture'
      |          ^^^^^^

    error: `services.a.init` must be true or false, not `nope`
     --> compose.yaml:6:11
      |
    6 |     init: nope
      |           ^^^^
    "#);
}
