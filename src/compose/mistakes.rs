//! The most common mistakes of people, as they are shown on a terminal of 80 columns.
//!
//! Each was written as somebody would write it; each message was read as somebody would read it.

use super::diagnostic::Color;
use super::load::{LoadOptions, load};
use super::source::MemorySource;

fn show(texts: &[&str], width: usize) -> String {
    let shown = texts.iter().map(|text| {
        let source = MemorySource::new().file("/p/compose.yaml", *text);
        let options = LoadOptions {
            working_dir: "/p".into(),
            ..LoadOptions::default()
        };
        match load(&source, &options) {
            Ok(loaded) => loaded.warnings.render(Color::Never, width),
            Err(problems) => problems.render(Color::Never, width),
        }
    });
    shown.collect::<Vec<String>>().join("\n")
}

#[test]
fn keys_in_the_wrong_place_are_shown_their_own() {
    let texts = [
        r#"web:
  image: nginx
  ports: ['80:80']
db:
  image: postgres
"#,
        r#"ports: ["80:80"]
services:
  web:
    image: nginx
    replicas: 2
    env: {A: b}
    name: web
    dockerfile: x
    deploy:
      restart: always
    services:
      a: {image: b}
    command: [echo, a: b]
"#,
        r#"service:
  web:
    image: nginx
"#,
    ];
    insta::assert_snapshot!(show(&texts, 80), @r#"
    error: there is no key `web` at the top of a stack file
     --> compose.yaml:1:1
      |
    1 | web:
      | ^^^ unknown key
      |
      = help: put the service `web` under `services:`

    error: there is no key `db` at the top of a stack file
     --> compose.yaml:4:1
      |
    4 | db:
      | ^^ unknown key
      |
      = help: put the service `db` under `services:`

    error: there is no key `ports` at the top of a stack file
     --> compose.yaml:1:1
      |
    1 | ports: ["80:80"]
      | ^^^^^ unknown key
      |
      = help: `ports` is a key of a service: put it below `services:` and the
              service's name

    error: there is no key `replicas` in `services.web`
     --> compose.yaml:5:5
      |
    5 |     replicas: 2
      |     ^^^^^^^^ unknown key
      |
      = help: put it below `deploy:`

    error: there is no key `env` in `services.web`
     --> compose.yaml:6:5
      |
    6 |     env: {A: b}
      |     ^^^ unknown key
      |
      = help: did you mean `environment`?

    error: there is no key `name` in `services.web`
     --> compose.yaml:7:5
      |
    7 |     name: web
      |     ^^^^ unknown key
      |
      = help: did you mean `container_name`?

    error: there is no key `dockerfile` in `services.web`
     --> compose.yaml:8:5
      |
    8 |     dockerfile: x
      |     ^^^^^^^^^^ unknown key
      |
      = help: did you mean `build.dockerfile`?

    error: there is no key `restart` in `services.web.deploy`
      --> compose.yaml:10:7
       |
    10 |       restart: always
       |       ^^^^^^^ unknown key
       |
       = help: `restart` is a key of the service: indent it as far as `deploy`

    error: there is no key `services` in `services.web`
      --> compose.yaml:11:5
       |
    11 |     services:
       |     ^^^^^^^^ unknown key
       |
       = help: services stand beside each other: indent it less

    error: `services.web.command[1]` must be text, not a mapping
      --> compose.yaml:13:21
       |
    13 |     command: [echo, a: b]
       |                     ^^^^
       |
       = help: put it in quotes: "a: b"

    error: there is no key `service` at the top of a stack file
     --> compose.yaml:1:1
      |
    1 | service:
      | ^^^^^^^ unknown key
      |
      = help: did you mean `services`?
    "#);
}

#[test]
fn misspelt_keys_get_what_was_meant() {
    let texts = [r#"services:
  web:
    image: nginx
    enviroment:
      A: b
    port: ['80:80']
    volume: ['./a:/a']
    dependson: [db]
    network: [a]
    restarts: always
"#];
    insta::assert_snapshot!(show(&texts, 80), @r"
    error: there is no key `enviroment` in `services.web`
     --> compose.yaml:4:5
      |
    4 |     enviroment:
      |     ^^^^^^^^^^ unknown key
      |
      = help: did you mean `environment`?

    error: there is no key `port` in `services.web`
     --> compose.yaml:6:5
      |
    6 |     port: ['80:80']
      |     ^^^^ unknown key
      |
      = help: did you mean `ports`?

    error: there is no key `volume` in `services.web`
     --> compose.yaml:7:5
      |
    7 |     volume: ['./a:/a']
      |     ^^^^^^ unknown key
      |
      = help: did you mean `volumes`?

    error: there is no key `dependson` in `services.web`
     --> compose.yaml:8:5
      |
    8 |     dependson: [db]
      |     ^^^^^^^^^ unknown key
      |
      = help: did you mean `depends_on`?

    error: there is no key `network` in `services.web`
     --> compose.yaml:9:5
      |
    9 |     network: [a]
      |     ^^^^^^^ unknown key
      |
      = help: put it below `build:`

    error: there is no key `restarts` in `services.web`
      --> compose.yaml:10:5
       |
    10 |     restarts: always
       |     ^^^^^^^^ unknown key
       |
       = help: did you mean `restart`?
    ");
}

#[test]
fn wrong_indentation_and_lists_of_services_are_named() {
    let texts = [
        r#"services:
  image: nginx
  ports:
    - 80:80
"#,
        r#"services:
  - web:
      image: nginx
"#,
        r#"services:
  web:
    image: nginx
   ports:
    - 80:80
"#,
        r#"services:
  db:
    image: postgres
volumes:
  - data
networks:
  - front
"#,
    ];
    insta::assert_snapshot!(show(&texts, 80), @r"
    error: `services.image` must be a mapping, not text
     --> compose.yaml:2:10
      |
    2 |   image: nginx
      |          ^^^^^
      |
      = help: `image` is a key of a service: put it, indented, below the service's
              name

    error: `services.ports` must be a mapping, not a list
     --> compose.yaml:4:5
      |
    4 |     - 80:80
      |     ^^^^^^^
      |
      = help: `ports` is a key of a service: put it, indented, below the service's
              name

    error: `services` must be a mapping, not a list
     --> compose.yaml:2:3
      |
    2 |   - web:
      |   ^^^^^^
      |
      = help: leave out the `-` and write `web:`

    error: the YAML cannot be read: while parsing a block mapping, did not find
           expected key
     --> compose.yaml:4:4
      |
    4 |    ports:
      |    ^
      |
      = help: this line is indented by 3 spaces, the one above by 4: keys of one
              mapping must line up

    error: `volumes` must be a mapping, not a list
     --> compose.yaml:5:3
      |
    5 |   - data
      |   ^^^^^^
      |
      = help: leave out the `-` and write `data:`

    error: `networks` must be a mapping, not a list
     --> compose.yaml:7:3
      |
    7 |   - front
      |   ^^^^^^^
      |
      = help: leave out the `-` and write `front:`
    ");
}

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
fn yaml_mistakes_say_what_to_type() {
    let texts = [
        r#"services:
  web:
    image:nginx
    ports:
      - 80:80
"#,
        r#"services:
  web:
    image: "nginx
    command: 'it's me'
"#,
        r#"services:
  web:
    image: @nginx
    command: %x
"#,
        r#"services:
  web:
    image: nginx
    command: echo a: b
"#,
        r#"services:
  web:
    <<: *default
    image: nginx
  b:
    <<: default
    image: x
"#,
    ];
    insta::assert_snapshot!(show(&texts, 80), @r"
    error: the YAML cannot be read: mapping values are not allowed in this context
     --> compose.yaml:4:10
      |
    4 |     ports:
      |          ^
      |
      = help: a space is missing after the colon in line 3: `image: nginx`

    error: the YAML cannot be read: invalid indentation in multiline quoted scalar
     --> compose.yaml:4:5
      |
    4 |     command: 'it's me'
      |     ^
      |
      = help: a quote above is opened and never closed

    error: the YAML cannot be read: unexpected character: `@'
     --> compose.yaml:3:12
      |
    3 |     image: @nginx
      |            ^
      |
      = help: a value that starts with `@` must be in quotes

    error: the YAML cannot be read: mapping values are not allowed in this context
     --> compose.yaml:4:20
      |
    4 |     command: echo a: b
      |                    ^
      |
      = help: put the value in quotes: it has a `: ` in it

    error: there is no anchor `&default` before this
     --> compose.yaml:3:9
      |
    3 |     <<: *default
      |         ^^^^^^^^

    error: `<<` takes a mapping or a list of mappings, not text
     --> compose.yaml:6:9
      |
    6 |     <<: default
      |         ^^^^^^^
      |
      = help: what an anchor `&default` stands for is written `*default`
    ");
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
fn names_that_are_not_there_say_where_to_add_them() {
    let texts = [
        r#"services:
  web:
    image: nginx
    depends_on: [databse, redis]
  database:
    image: postgres
"#,
        r#"services:
  web:
    image: nginx
    volumes: [data:/data, 'data/x:/x']
    networks: [front]
    secrets: [s]
    configs: [c]
"#,
    ];
    insta::assert_snapshot!(show(&texts, 80), @r"
    error: `web` depends on `databse`, but there is no such service
     --> compose.yaml:4:18
      |
    4 |     depends_on: [databse, redis]
      |                  ^^^^^^^
      |
      = help: did you mean `database`?

    error: `web` depends on `redis`, but there is no such service
     --> compose.yaml:4:27
      |
    4 |     depends_on: [databse, redis]
      |                           ^^^^^
      |
      = help: add a service `redis`, or take it out here

    error: there is no volume `data`
     --> compose.yaml:4:15
      |
    4 |     volumes: [data:/data, 'data/x:/x']
      |               ^^^^^^^^^^
      |
      = help: add `data:` to the top-level `volumes:`

    error: there is no volume `data/x`
     --> compose.yaml:4:27
      |
    4 |     volumes: [data:/data, 'data/x:/x']
      |                           ^^^^^^^^^^^
      |
      = help: a path starts with `./`: `./data/x`

    error: there is no network `front`
     --> compose.yaml:5:16
      |
    5 |     networks: [front]
      |                ^^^^^
      |
      = help: add `front:` to the top-level `networks:`

    error: there is no secret `s`
     --> compose.yaml:6:15
      |
    6 |     secrets: [s]
      |               ^
      |
      = help: add `s:` to the top-level `secrets:`

    error: there is no config `c`
     --> compose.yaml:7:15
      |
    7 |     configs: [c]
      |               ^
      |
      = help: add `c:` to the top-level `configs:`
    ");
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

#[test]
fn variables_say_where_they_were_looked_for() {
    let texts = [
        r#"services:
  web:
    image: nginx:${TAG}
    user: ${USR:?who runs it}
    hostname: ${BAD-}${OPEN
"#,
        r#"services:
  web:
    image: ${REGISTRY}/app:${TAG:?set TAG in .env}
    command: echo $PATH_X ${lower case}
"#,
    ];
    insta::assert_snapshot!(show(&texts, 80), @r#"
    warning: The "TAG" variable is not set. Defaulting to a blank string.
     --> compose.yaml:3:18
      |
    3 |     image: nginx:${TAG}
      |                  ^^^^^^ becomes an empty text
      |
      = help: set it in the environment or in `.env`, or give a default:
              `${TAG:-value}`

    error: the variable `USR` is required: who runs it
     --> compose.yaml:4:11
      |
    4 |     user: ${USR:?who runs it}
      |           ^^^^^^^^^^^^^^^^^^^
      |
      = help: set it in the environment or in `.env`

    error: the braces of `${OPEN` are never closed
     --> compose.yaml:5:22
      |
    5 |     hostname: ${BAD-}${OPEN
      |                      ^^^^^^
      |
      = help: write `${NAME}`, or `$$` for a dollar sign that is to stay

    warning: The "REGISTRY" variable is not set. Defaulting to a blank string.
     --> compose.yaml:3:12
      |
    3 |     image: ${REGISTRY}/app:${TAG:?set TAG in .env}
      |            ^^^^^^^^^^^ becomes an empty text
      |
      = help: set it in the environment or in `.env`, or give a default:
              `${REGISTRY:-value}`

    error: the variable `TAG` is required: set TAG in .env
     --> compose.yaml:3:28
      |
    3 |     image: ${REGISTRY}/app:${TAG:?set TAG in .env}
      |                            ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: set it in the environment or in `.env`

    warning: The "PATH_X" variable is not set. Defaulting to a blank string.
     --> compose.yaml:4:19
      |
    4 |     command: echo $PATH_X ${lower case}
      |                   ^^^^^^^ becomes an empty text
      |
      = help: set it in the environment or in `.env`, or give a default:
              `${PATH_X:-value}`

    error: `${lower case}` is not a variable reference
     --> compose.yaml:4:27
      |
    4 |     command: echo $PATH_X ${lower case}
      |                           ^^^^^^^^^^^^^
      |
      = help: write `${NAME}`, or `$$` for a dollar sign that is to stay
    "#);
}

/// On a narrow terminal text is broken between words, and source lines are shown around the mistake.
#[test]
fn forty_columns_are_enough() {
    let texts = [r#"services:
  web:
    image: nginx:${TAG}
    user: ${USR:?who runs it}
    environment: {A: "a long line of text that does not fit", B: [b]}
    depends_on: [nobody]
"#];
    insta::assert_snapshot!(show(&texts, 40), @r#"
    warning: The "TAG" variable is not set.
             Defaulting to a blank string.
     --> compose.yaml:3:18
      |
    3 |     image: nginx:${TAG}
      |                  ^^^^^^ becomes an empty text
      |
      = help: set it in the environment or
              in `.env`, or give a default:
              `${TAG:-value}`

    error: the variable `USR` is required:
           who runs it
     --> compose.yaml:4:11
      |
    4 |     user: ${USR:?who runs it}
      |           ^^^^^^^^^^^^^^^^^^^
      |
      = help: set it in the environment or
              in `.env`

    error: `services.web.environment.B`
           must be text, a number or a
           boolean, not a list
     --> compose.yaml:5:66
      |
    5 | ...not fit", B: [b]}
      |                 ^^^

    error: `web` depends on `nobody`, but
           there is no such service
     --> compose.yaml:6:18
      |
    6 |     depends_on: [nobody]
      |                  ^^^^^^
      |
      = help: add a service `nobody`, or
              take it out here
    "#);
}
