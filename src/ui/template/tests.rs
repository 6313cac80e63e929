use serde_json::{Value, json};

use super::Template;

fn document() -> Value {
    json!({
        "ID": "0123456789ab",
        "Name": "shop-web-1",
        "Size": 12,
        "Ratio": 1.5,
        "Running": true,
        "Ports": ["80/tcp", "443/tcp"],
        "Labels": {"b-c": "two", "a": "one"},
        "State": {"Status": "running"},
        "Nets": {"front": {"IP": "10.0.0.2"}, "back": {"IP": "10.0.1.2"}},
        "Empty": [],
        "Nothing": null,
        "Binds": null,
        "Bindings": {
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "::", "HostPort": "8080"},
            ],
            "53/udp": null,
        },
        "Mount": {"Type": "bind", "Source": "/s", "Destination": "/d", "Mode": "ro", "RW": false},
        "Set": {"/v": {}},
    })
}

fn rendered(template: &str) -> Result<String, String> {
    let template = Template::parse(template).map_err(|error| error.to_string())?;
    let document = document();
    template
        .render(&document)
        .map_err(|error| error.to_string())
}

#[test]
fn templates_make_what_go_makes() {
    for (template, expected) in [
        ("{{.ID}}: {{ .Name }}", "0123456789ab: shop-web-1"),
        ("plain", "plain"),
        ("{{.State.Status}}", "running"),
        ("{{.State.Nonsense}}", "<no value>"),
        ("{{.State.Health}}", "<nil>"),
        ("{{.Binds}} {{.Sysctls}} {{.StopSignal}}.", "[] map[] ."),
        ("{{json .Binds}}", "null"),
        (
            "{{.Bindings}}",
            "map[53/udp:[] 80/tcp:[{0.0.0.0 8080} {:: 8080}]]",
        ),
        ("{{.Mount}} {{.Set}}", "{bind  /s /d  ro false } map[/v:{}]"),
        ("{{(index .Bindings \"80/tcp\" 0).HostIP}}", "0.0.0.0"),
        ("{{if .State.Health}}y{{else}}n{{end}}", "n"),
        ("{{json .State}}", r#"{"Status":"running"}"#),
        (
            "{{.Ports}} {{.Labels}}",
            "[80/tcp 443/tcp] map[a:one b-c:two]",
        ),
        ("{{index .Labels \"b-c\"}}", "two"),
        ("{{index .Labels `x`}}.", "."),
        ("{{index .Ports 1}}", "443/tcp"),
        ("{{(index .Nets \"back\").IP}}", "10.0.1.2"),
        ("{{range .Ports}}<{{.}}>{{end}}", "<80/tcp><443/tcp>"),
        (
            "{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}",
            "a=one;b-c=two;",
        ),
        (
            "{{range $i, $p := .Ports}}{{if $i}}, {{end}}{{$p}}{{end}}",
            "80/tcp, 443/tcp",
        ),
        (
            "{{range $p := .Ports}}{{$.Name}} {{$p}}|{{end}}",
            "shop-web-1 80/tcp|shop-web-1 443/tcp|",
        ),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Nothing}}x{{end}}", ""),
        ("{{range .Ports}}{{.}}{{break}}{{end}}", "80/tcp"),
        ("{{range .Ports}}{{continue}}{{.}}{{end}}", ""),
        ("{{range .Nets}}{{.IP}} {{end}}", "10.0.1.2 10.0.0.2 "),
        ("{{if and .Running (eq .Size 12)}}both{{end}}", "both"),
        (
            "{{if eq .Name \"a\"}}a{{else if .Running}}b{{else}}c{{end}}",
            "b",
        ),
        ("{{with .State}}{{.Status}}{{end}}", "running"),
        ("{{with .Empty}}x{{else}}{{.Name}}{{end}}", "shop-web-1"),
        ("{{$a := .Size}}{{$a = 3}}{{$a}}", "3"),
        ("{{$n := 0}}{{range .Ports}}{{$n = 7}}{{end}}{{$n}}", "7"),
        ("{{.Name | upper | printf \"%-12s|\"}}", "SHOP-WEB-1  |"),
        ("{{.Name | printf \"%6.3s|%.0s|\"}}", "   sho|%!s(MISSING)|"),
        ("{{join .Ports \", \"}}", "80/tcp, 443/tcp"),
        ("{{join (split .Name \"-\") \"/\"}}", "shop/web/1"),
        ("{{len .Ports}} {{.Ports | len}}", "2 2"),
        ("{{println .Name .Size}}", "shop-web-1 12\n"),
        ("{{print 1 2 \"a\" 3}}", "1 2a3"),
        ("{{title \"a bc\"}} {{lower \"AB\"}}", "A Bc ab"),
        ("{{truncate .ID 4}}{{pad \"x\" 1 2}}|", "0123 x  |"),
        ("{{slice .ID 2 5}}", "234"),
        ("{{if or .Nothing .Empty}}a{{else}}b{{end}}", "b"),
        ("{{or .Nothing \"default\"}}", "default"),
        (
            "{{not .Running}} {{ne 1 2}} {{lt 1 2}} {{ge 1.5 .Ratio}}",
            "false true true true",
        ),
        ("a {{- 1 -}} b {{/* no */}}c{{- /* x */ -}} d", "a1b cd"),
        ("{{\"q\\\"\\n\"}}", "q\"\n"),
        (
            "{{printf \"%d%% %q %t %5s\" 5 \"a\" true \"b\"}}",
            "5% \"a\" true     b",
        ),
        ("{{nil}}{{true}}{{-1}}{{1.5}}", "<no value>true-11.5"),
        ("{{eq .Name \"x\" \"shop-web-1\"}}", "true"),
    ] {
        assert_eq!(rendered(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn errors_say_where_and_what() {
    for (template, expected) in [
        (
            "{{.Nmae}}",
            "line 1, column 3: there is no field `Nmae`; there are ",
        ),
        (
            "a\n é{{.Name.x}}",
            "line 2, column 5: a text has no field `x`",
        ),
        (
            "{{.State.Health.Status}}",
            "line 1, column 3: map has no entry for key \"Health\", so no `Status`",
        ),
        ("{{.Name", "line 1, column 1: `{{` has no `}}`"),
        ("{{}}", "line 1, column 1: there is nothing"),
        ("x{{if .Name}}", "line 1, column 4: `if` has no `end`"),
        ("{{end}}", "line 1, column 3: `end` has nothing"),
        ("{{else}}", "`else` has nothing"),
        (
            "{{if 1}}{{else}}{{else}}{{end}}",
            "there is an `else` already",
        ),
        (
            "{{foo .Name}}",
            "column 3: there is no function `foo`; there are and, or",
        ),
        ("{{$x}}", "column 3: there is no variable `$x`"),
        (
            "{{if 1}}{{$x := 1}}{{end}}{{$x}}",
            "there is no variable `$x`",
        ),
        ("{{\"a}}", "the text has no end"),
        ("{{.Name | 3}}", "only a function can take"),
        ("{{.Name .ID}}", "takes no arguments"),
        ("{{(.Name}}", "`(` has no `)`"),
        (
            "{{join .Name \",\"}}",
            "`join` cannot do anything with a text and a text",
        ),
        ("{{index .Ports 9}}", "the list has 2 items, but no [9]"),
        (
            "{{range .Name}}{{end}}",
            "`range` goes over lists and maps, not over a text",
        ),
        ("{{break}}", "outside of `range`"),
        ("{{/* x }}", "the comment has no end"),
        ("{{1x}}", "`1x` is no number"),
        ("{{.Name ? 1}}", "`?` means nothing here"),
        ("{{template \"x\"}}", "`template` has no use"),
        ("{{len 5}}", "a number has no length"),
        ("{{lt 1 \"a\"}}", "have no order"),
        ("{{pad \"x\" 99999999 0}}", "a number from 0 to"),
    ] {
        let error = rendered(template).unwrap_err();
        assert!(error.contains(expected), "{template}: {error}");
    }
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    let error = rendered(&format!("{{{{{deep}}}}}")).unwrap_err();
    assert!(error.contains("nested too deeply"), "{error}");
    let deep = "{{if 1}}".repeat(5000);
    assert!(rendered(&deep).unwrap_err().contains("nested too deeply"));
}

#[test]
fn heads_are_the_fields_in_capitals() {
    let template = Template::parse("{{.ID}}\t{{.CreatedAt | upper}}\t{{json .ID}}").unwrap();
    let row = json!({"ID": "1", "CreatedAt": "now"});
    let heads = template.heads(&row, &[("ID", "IMAGE ID")]);
    assert_eq!(heads, "IMAGE ID\tCREATED AT\t\"IMAGE ID\"");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[{}.$a-z|()=:,\"`0-9 /*\\\\-]{0,40}") {
        let _ = rendered(&text);
    }

    #[test]
    fn no_words_make_it_panic(words in proptest::collection::vec(
        proptest::sample::select(vec!["if", "end", "else", "range", ".Name", ".Ports", "$x", ":=",
            "index", "slice", "json", "printf", "\"%9d\"", "1", "(", ")", "|", "with", "}}", "{{"]),
        0..14,
    )) {
        let _ = rendered(&format!("{{{{{}}}}}", words.join(" ")));
    }
}

#[test]
fn an_id_is_found_by_either_of_its_names() {
    let document = json!({"Id": "0123456789ab"});
    for text in ["{{.ID}}", "{{.Id}}"] {
        let template = Template::parse(text).expect("a template");
        let found = template.render(&document);
        assert_eq!(found.expect("it is there"), "0123456789ab");
    }
}
