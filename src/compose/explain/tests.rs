use super::{environment, explain, json, table, variable};
use crate::compose::load::LoadOptions;
use crate::compose::source::MemorySource;

fn shop() -> MemorySource {
    MemorySource::new()
        .file(
            "/srv/shop/compose.yaml",
            "\
x-common: &common
  restart: always
  init: true
services:
  web:
    <<: *common
    image: nginx:${TAG:-1.27}
    env_file: app.env
    environment:
      DEBUG: \"0\"
      HOST: ${HOST:-localhost}:${PORT}
      USER:
    ports: ['8080:80']
    init: false
    depends_on: [db]
  db:
    image: postgres
",
        )
        .file(
            "/srv/shop/compose.override.yaml",
            "\
services:
  web:
    environment:
      - DEBUG=${DEBUG:-1}
    image: nginx:2
",
        )
        .file("/srv/shop/app.env", "# of the app\nDEBUG=2\nLEVEL=info\n")
        .file("/srv/shop/.env", "PORT=80\nTAG=3\n")
        .var("USER", "me")
        .var("PORT", "81")
}

fn options() -> LoadOptions {
    LoadOptions {
        working_dir: "/srv/shop".into(),
        ..LoadOptions::default()
    }
}

fn told(path: &str) -> String {
    match explain(&shop(), &options(), path) {
        Ok(explanation) => explanation.to_string(),
        Err(error) => format!("error: {error:#}"),
    }
}

fn images(image: &str) -> Option<Vec<String>> {
    let environment = ["PATH=/bin", "DEBUG=9", "HOST=image"];
    (image == "nginx:2").then(|| environment.map(str::to_owned).into())
}

fn of_variable(service: &str, name: &str) -> String {
    match variable(&shop(), &options(), (service, name), &images) {
        Ok(variable) => variable.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn a_value_is_told_with_its_variables_and_what_it_took_the_place_of() {
    insta::assert_snapshot!(told("services.web.environment.DEBUG"), @r#"
    services.web.environment.DEBUG = "1"
      compose.override.yaml:4:9  - DEBUG=${DEBUG:-1}
        DEBUG is not set: the text after the `-` counts, `1`
      instead of, the nearest first:
        compose.yaml:10:14  DEBUG: "0"
        app.env:2:1  DEBUG=2  (environment file)
    "#);
    insta::assert_snapshot!(told("services.web.environment.HOST"), @r#"
    services.web.environment.HOST = localhost:81
      compose.yaml:11:13  HOST: ${HOST:-localhost}:${PORT}
        HOST is not set: the text after the `-` counts, `localhost`
        PORT = "81" from the environment of the caller, over .env:1
    "#);
    insta::assert_snapshot!(told("services.web.image"), @r#"
    services.web.image = nginx:2
      compose.override.yaml:5:12  image: nginx:2
      instead of, the nearest first:
        compose.yaml:7:12  image: nginx:${TAG:-1.27}
    "#);
}

#[test]
fn a_service_can_be_named_without_its_section() {
    insta::assert_snapshot!(told("web.environment.LEVEL"), @r#"
    services.web.environment.LEVEL = info
      app.env:3:1  LEVEL=info
    "#);
}

#[test]
fn a_variable_that_is_only_named_is_the_caller_s() {
    insta::assert_snapshot!(told("web.environment.USER"), @r#"
    services.web.environment.USER = me
      compose.yaml:12:7  USER:
        only named there; the value is from the environment of the caller
    "#);
}

#[test]
fn what_an_anchor_brought_is_told_with_both_places() {
    insta::assert_snapshot!(told("web.restart"), @r#"
    services.web.restart = always
      compose.yaml:2:12  restart: always
        came to compose.yaml:6:5 by an anchor: <<: *common
    "#);
    insta::assert_snapshot!(told("web.init"), @r#"
    services.web.init = false
      compose.yaml:14:11  init: false
    "#);
}

#[test]
fn what_a_short_form_says_and_what_it_leaves_out_are_told_apart() {
    insta::assert_snapshot!(told("web.ports[0]"), @r#"
    services.web.ports[0]: from compose.yaml
      mode       ingress  default of Compose
      target     80       compose.yaml:13:13
      published  "8080"   compose.yaml:13:13
      protocol   tcp      default of Compose
    "#);
    insta::assert_snapshot!(told("web.ports.0.target"), @r#"
    services.web.ports[0].target = 80
      compose.yaml:13:13  ports: ['8080:80']  (short form)
    "#);
    insta::assert_snapshot!(told("web.depends_on.db.condition"), @r#"
    services.web.depends_on.db.condition = service_started
      default of Compose: no file says it
    "#);
}

#[test]
fn what_nobody_wrote_is_a_default() {
    insta::assert_snapshot!(told("networks.default.name"), @r#"
    networks.default.name = shop_default
      default of Compose: no file says it
    "#);
    insta::assert_snapshot!(told("name"), @r#"
    name = shop
      from the directory /srv/shop
    "#);
}

#[test]
fn a_mapping_is_a_table_of_its_values() {
    insta::assert_snapshot!(told("web"), @r#"
    services.web: from compose.override.yaml, compose.yaml, app.env
      image                    nginx:2          compose.override.yaml:5:12, over compose.yaml:7:12
      ports[0].mode            ingress          default of Compose
      ports[0].target          80               compose.yaml:13:13
      ports[0].published       "8080"           compose.yaml:13:13
      ports[0].protocol        tcp              default of Compose
      init                     false            compose.yaml:14:11
      depends_on.db.condition  service_started  default of Compose
      depends_on.db.required   true             default of Compose
      restart                  always           compose.yaml:2:12 (anchor)
      networks.default         null             default of Compose
      environment.DEBUG        "1"              compose.override.yaml:4:9, with DEBUG, over compose.yaml:10:14
      environment.LEVEL        info             app.env:3:1
      environment.HOST         localhost:81     compose.yaml:11:13, with HOST, PORT
      environment.USER         me               compose.yaml:12:7, value from the environment of the caller
    "#);
}

#[test]
fn a_path_that_leads_nowhere_is_told_with_where_it_ends() {
    insta::assert_snapshot!(told("web.enviroment"), @"error: there is no `enviroment` in `services.web`");
    insta::assert_snapshot!(told("wbe"), @"error: there is no `wbe` at the top of the model");
    insta::assert_snapshot!(told("web.ports[3]"), @"error: there is no `[3]` in `services.web.ports`");
}

#[test]
fn a_variable_of_a_container_is_told_down_to_the_image() {
    insta::assert_snapshot!(of_variable("web", "DEBUG"), @r#"
    web: DEBUG = "1"
      compose.override.yaml:4:9  - DEBUG=${DEBUG:-1}
        DEBUG is not set: the text after the `-` counts, `1`
      instead of, the nearest first:
        compose.yaml:10:14  DEBUG: "0"
        app.env:2:1  DEBUG=2  (environment file)
        "9", the default of the image nginx:2
    "#);
    insta::assert_snapshot!(of_variable("web", "PATH"), @r#"
    web: PATH = /bin
      default of the image nginx:2
    "#);
    insta::assert_snapshot!(of_variable("web", "USER"), @r#"
    web: USER = me
      compose.yaml:12:7  USER:
        only named there; the value is from the environment of the caller
    "#);
}

#[test]
fn a_variable_that_nobody_sets_is_told_with_where_it_was_looked_for() {
    insta::assert_snapshot!(of_variable("web", "DEBG"), @r#"
    web: DEBG is not set
      looked for in, the nearest first:
        environment, at compose.override.yaml:3:5
        the environment file of compose.yaml:8:15  env_file: app.env
        the image nginx:2
      did you mean `DEBUG`?
    "#);
    insta::assert_snapshot!(of_variable("web", "PORT"), @r#"
    web: PORT is not set
      looked for in, the nearest first:
        environment, at compose.override.yaml:3:5
        the environment file of compose.yaml:8:15  env_file: app.env
        the image nginx:2
      the environment of the caller has a PORT, but a container only gets what `environment` names:
        write `- PORT` there to pass it on
    "#);
    insta::assert_snapshot!(of_variable("web", "TAG"), @r#"
    web: TAG is not set
      looked for in, the nearest first:
        environment, at compose.override.yaml:3:5
        the environment file of compose.yaml:8:15  env_file: app.env
        the image nginx:2
      .env:2 has a TAG, but a container only gets what `environment` names:
        write `- TAG` there to pass it on
    "#);
    insta::assert_snapshot!(of_variable("db", "X"), @r#"
    db: X is not set
      looked for in, the nearest first:
        environment, which the service does not have
        the image postgres: it is not here, so it may set it nevertheless
    "#);
    insta::assert_snapshot!(of_variable("wb", "X"), @"error: no such service: wb");
}

#[test]
fn the_variables_of_a_service_are_a_table() {
    insta::assert_snapshot!(table(&environment(&shop(), &options(), "web", &images).unwrap()), @r#"
    NAME   VALUE         FROM
    DEBUG  "1"           compose.override.yaml:4:9, with DEBUG, over compose.yaml:10:14
    HOST   localhost:81  compose.yaml:11:13, with HOST, PORT
    LEVEL  info          app.env:3:1
    PATH   /bin          image nginx:2
    USER   me            compose.yaml:12:7, value from the environment of the caller
    "#);
}

#[test]
fn json_has_all_that_the_text_has() {
    insta::assert_snapshot!(json(&variable(&shop(), &options(), ("web", "HOST"), &images).unwrap()), @r#"
    {
      "service": "web",
      "name": "HOST",
      "value": "localhost:81",
      "explanation": {
        "path": "services.web.environment.HOST",
        "value": "localhost:81",
        "origin": {
          "from": "file",
          "file": "compose.yaml",
          "line": 11,
          "column": 13,
          "source": "HOST: ${HOST:-localhost}:${PORT}"
        },
        "variables": [
          {
            "name": "HOST",
            "value": null,
            "value_from": "unset",
            "fallback": "-localhost"
          },
          {
            "name": "PORT",
            "value": "81",
            "value_from": "shell",
            "shadowed": {
              "file": ".env",
              "line": 1,
              "column": 1,
              "source": "PORT=80"
            }
          }
        ]
      },
      "image": {
        "name": "nginx:2",
        "is_here": true,
        "value": "image"
      }
    }
    "#);
}
