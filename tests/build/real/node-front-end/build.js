const fs = require("fs");
const tiny = require("tiny");

fs.mkdirSync("dist/assets", { recursive: true });
const files = fs.readdirSync("src").sort();
const bundle = files.map((name) => tiny(fs.readFileSync(`src/${name}`, "utf8"))).join("\n");
fs.writeFileSync("dist/assets/bundle.js", `// ${process.env.NODE_ENV}\n${bundle}\n`);
fs.copyFileSync("index.html", "dist/index.html");
