use super::parse;
use crate::compose::source::MemorySource;

fn run(source: &MemorySource, args: &[&str]) -> String {
    match parse(args, "/srv/case").unwrap().run(source) {
        Ok(output) => output.stdout,
        Err(error) => format!("error: {error}"),
    }
}

fn shop() -> MemorySource {
    MemorySource::new()
        .file(
            "/srv/case/compose.yaml",
            "
name: shop
services:
  web:
    image: nginx:${TAG:-1.27}
    env_file: app.env
    environment: [FROM_CALLER]
    ports: ['${PORT?}:80']
    volumes: ['./src:/src']
    depends_on: [db]
  db: {image: db, build: ./db, labels: ['price=5$$']}
  old: {image: x, profiles: [p], network_mode: 'service:db'}
volumes: {unused: }
",
        )
        .file("/srv/case/app.env", "A=1\nB=${TAG}\n")
        .file("/srv/case/.env", "PORT=8080\nTAG=2\n")
        .file("/srv/case/db/Dockerfile", "FROM x")
        .var("FROM_CALLER", "yes")
        .var("TAG", "3")
}

#[test]
fn variables_stay_as_they_are_written_when_asked() {
    insta::assert_snapshot!(run(&shop(), &["--no-interpolate"]), @r#"
    name: shop
    networks:
      default:
        name: shop_default
    services:
      db:
        build:
          context: /srv/case/db
          dockerfile: Dockerfile
        image: db
        labels:
          - price=5$$
        networks:
          default: null
      old:
        depends_on:
          db:
            condition: service_started
            required: true
            restart: true
        image: x
        network_mode: service:db
        profiles:
          - p
      web:
        depends_on:
          db:
            condition: service_started
            required: true
        env_file:
          - path: /srv/case/app.env
            required: true
        environment:
          - FROM_CALLER
        image: nginx:${TAG:-1.27}
        networks:
          default: null
        ports:
          - ${PORT?}:80
        volumes:
          - bind:
              create_host_path: true
            source: /srv/case/src
            target: /src
            type: bind
    volumes:
      unused:
        name: shop_unused
    "#);
    assert_eq!(
        run(&shop(), &["--no-interpolate", "--services"]),
        "db\nold\nweb\n"
    );
    assert_eq!(
        run(&shop(), &["--no-interpolate", "--images"]),
        "db\nx\nnginx:${TAG:-1.27}\n"
    );
}

#[test]
fn what_is_wrong_whatever_the_variables_are_is_told_also_without_filling_them_in() {
    let source = MemorySource::new().file(
        "/srv/case/compose.yaml",
        "services: {a: {imag: x, cpus: '${N}', ports: ['${P}'], privileged: [1]}}",
    );
    insta::assert_snapshot!(run(&source, &["--no-interpolate"]), @"
    error: compose.yaml:1:16: error: there is no key `imag` in `services.a` (did you mean `image`?)
    compose.yaml:1:68: error: `services.a.privileged` must be true or false, not a list
    ");
}

#[test]
fn variables_are_listed_with_their_defaults() {
    let source = MemorySource::new().file(
        "/srv/case/compose.yaml",
        r#"
services:
  a:
    image: "x:${T:?no $M} y"
    hostname: "${A:-x}${A:?e}${B-}${C:+d${D:-e$F}}$$G $H-$ ${T:-z}"
  b:
    image: ${A:-q}
    labels: {"${KEY}": "$VAL", x: "${L}"}
"#,
    );
    insta::assert_snapshot!(run(&source, &["--variables"]), @"
    NAME                REQUIRED            DEFAULT VALUE       ALTERNATE VALUE
    A                   true                x                   
    B                   false                                   
    C                   false                                   d${D:-e$F}
    D                   false               e$F                 
    F                   false                                   
    H                   false                                   
    L                   false                                   
    T                   true                z                   
    VAL                 false
    ");
    insta::assert_snapshot!(run(&shop(), &["--variables", "--format", "json"]), @r#"
    {
        "PORT": {
            "Name": "PORT",
            "DefaultValue": "",
            "PresenceValue": "",
            "Required": true
        },
        "TAG": {
            "Name": "TAG",
            "DefaultValue": "1.27",
            "PresenceValue": "",
            "Required": false
        }
    }
    "#);
    insta::assert_snapshot!(run(&shop(), &["--variables", "--format", "yaml"]), @r#"
    PORT:
        name: PORT
        defaultvalue: ""
        presencevalue: ""
        required: true
    TAG:
        name: TAG
        defaultvalue: "1.27"
        presencevalue: ""
        required: false
    "#);
}

#[test]
fn the_environment_is_the_caller_s_over_the_file_s() {
    assert_eq!(
        run(&shop(), &["--environment"]),
        "COMPOSE_PROJECT_NAME=shop\nFROM_CALLER=yes\nPORT=8080\nPWD=/srv/case\nTAG=3\n"
    );
}

#[test]
fn phases_can_be_left_out() {
    let all = [
        "--no-normalize",
        "--no-path-resolution",
        "--no-env-resolution",
        "--no-consistency",
        "web",
    ];
    insta::assert_snapshot!(run(&shop(), &all), @r#"
    name: shop
    services:
      db:
        image: db
        labels:
          price: 5$$
        build:
          context: ./db
      web:
        environment:
          FROM_CALLER: 'yes'
        env_file:
          - path: app.env
        image: nginx:3
        volumes:
          - type: bind
            source: ./src
            target: /src
            bind: {}
        depends_on:
          db:
            condition: service_started
            required: true
        ports:
          - mode: ingress
            target: 80
            published: "8080"
            protocol: tcp
    "#);
}
