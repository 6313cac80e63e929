//! Keys that are misspelt, or stand where another thing belongs.

use super::show;

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
