// Turns the pinned npm packages into what the console serves. Run by dashboards/build.py, which says where.
//   node build.mjs <templates> <own scripts> <output>
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import postcss from "postcss";
import { PurgeCSS } from "purgecss";

const [templates, scripts, output] = process.argv.slice(2);
const modules = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const out = (...parts) => {
  const path = join(output, ...parts);
  mkdirSync(dirname(path), { recursive: true });
  return path;
};

// Tabler knows light and dark. "auto" follows the reader's system without a script: every dark rule once more,
// under the media query.
const followSystem = () => ({
  postcssPlugin: "follow-system",
  OnceExit(root) {
    const media = postcss.atRule({ name: "media", params: "(prefers-color-scheme: dark)" });
    root.walkRules((rule) => {
      const dark = rule.selectors.filter((selector) => /\[data-bs-theme=["']?dark["']?\]/.test(selector));
      if (dark.length === 0) return;
      const auto = rule.clone({
        selectors: dark.map((selector) => selector.replace(/\[data-bs-theme=["']?dark["']?\]/g, "[data-bs-theme=auto]")),
      });
      const parent = rule.parent.type === "atrule" ? rule.parent.clone({ nodes: [auto] }) : auto;
      media.append(parent);
    });
    if (media.nodes?.length) root.append(media);
  },
});

async function tabler() {
  const [purged] = await new PurgeCSS().purge({
    content: [join(templates, "**/*.html"), join(scripts, "*.js")],
    css: [join(modules, "@tabler/core/dist/css/tabler.min.css")],
    defaultExtractor: (text) => text.match(/[\w-/:.]*[\w-/:]/g) ?? [],
    safelist: { standard: [/^data-bs-theme/, "show"], variables: [/^--tblr-/] },
    variables: false,
    keyframes: true,
    fontFace: true,
  });
  const css = purged.css.replace(/\/\*# sourceMappingURL=.*?\*\//g, "").replace(/@import[^;]+;/g, "");
  const result = await postcss([followSystem()]).process(css, { from: undefined });
  writeFileSync(out("tabler.css"), result.css);
}

function inter() {
  // Only what Vietnamese and English need; the browser takes each file when a page has its letters.
  const source = readFileSync(join(modules, "@fontsource-variable/inter/index.css"), "utf8");
  const faces = [];
  postcss.parse(source).walkAtRules("font-face", (face) => {
    const file = /files\/(inter-(?:latin|latin-ext|vietnamese)-wght-normal\.woff2)/.exec(face.toString())?.[1];
    if (!file) return;
    const from = join(modules, "@fontsource-variable/inter/files", file);
    cpSync(from, out("fonts", file));
    const digest = createHash("sha256").update(readFileSync(from)).digest("hex").slice(0, 12);
    face.walkDecls("src", (decl) => {
      decl.value = `url(fonts/${file}?v=${digest}) format("woff2")`;
    });
    faces.push(face.toString());
  });
  if (faces.length !== 3) throw new Error(`expected 3 faces of Inter, found ${faces.length}`);
  writeFileSync(out("inter.css"), faces.join("\n"));
}

function copy() {
  const files = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "hx-sse.js": "htmx.org/dist/ext/hx-sse.min.js",
    "hx-csp.js": "htmx.org/dist/ext/hx-csp.min.js",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "fonts/Tinos-Regular.ttf": "@expo-google-fonts/tinos/400Regular/Tinos_400Regular.ttf",
    "fonts/Tinos-Italic.ttf": "@expo-google-fonts/tinos/400Regular_Italic/Tinos_400Regular_Italic.ttf",
    "fonts/Tinos-Bold.ttf": "@expo-google-fonts/tinos/700Bold/Tinos_700Bold.ttf",
    "fonts/Tinos-BoldItalic.ttf": "@expo-google-fonts/tinos/700Bold_Italic/Tinos_700Bold_Italic.ttf",
  };
  for (const [name, from] of Object.entries(files)) {
    if (name.endsWith(".js")) {
      const text = readFileSync(join(modules, from), "utf8").replace(/\n?\/\/# sourceMappingURL=.*$/m, "");
      writeFileSync(out(name), text);
    } else {
      cpSync(join(modules, from), out(name));
    }
  }
}

function licences() {
  const require = createRequire(import.meta.url);
  const { dependencies } = require("./package.json");
  const texts = Object.keys(dependencies).map((name) => {
    const { version, license } = require(`./node_modules/${name}/package.json`);
    let text = "";
    for (const file of ["LICENSE", "LICENSE_FONT"]) {
      try {
        text += readFileSync(join(modules, name, file), "utf8") + "\n";
      } catch {
        // not every package has both
      }
    }
    return `${name} ${version} (${license})\n${"=".repeat(72)}\n${text}`;
  });
  writeFileSync(out("LICENSES.txt"), texts.join("\n"));
}

await tabler();
inter();
copy();
licences();
