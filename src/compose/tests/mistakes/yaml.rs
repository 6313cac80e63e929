//! Indentation, quotes, and the other rules of YAML.

use super::show;

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
