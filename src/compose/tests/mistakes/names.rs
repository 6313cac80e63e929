//! Services, volumes and variables that are not there.

use super::show;

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
