// Look at a page in chromium: axe-core's violations, requests, overflow, and pictures.
// node look.mjs PAGE FOLDER; FOLDER/node_modules has puppeteer-core and axe-core.
import fs from "fs";
import { createRequire } from "module";

const [, , page, folder] = process.argv;
const require = createRequire(`${folder}/`);
const puppeteer = require("puppeteer-core").default ?? require("puppeteer-core");
const axe = fs.readFileSync(require.resolve("axe-core"), "utf8");
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
let wrong = 0;

async function open(width, scheme, { scripts = true, vision } = {}) {
  const tab = await browser.newPage();
  tab.requests = [];
  tab.on("request", (request) => tab.requests.push(request.url()));
  tab.on("console", (message) => tab.requests.push(message.text()));
  await tab.setOfflineMode(true);
  await tab.setJavaScriptEnabled(scripts);
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  if (vision) await tab.emulateVisionDeficiency(vision);
  await tab.setViewport({ width, height: 900 });
  await tab.goto(`file://${page}`);
  return tab;
}

for (const scheme of ["light", "dark"]) {
  for (const width of [400, 1000, 1600]) {
    const tab = await open(width, scheme);
    const overflow = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    const requests = tab.requests.filter((url) => url !== `file://${page}`);
    const picture = await tab.screenshot({ path: `${folder}/${scheme}-${width}.png`, fullPage: true });
    const still = await open(width, scheme, { scripts: false });
    const same = Buffer.compare(picture, await still.screenshot({ fullPage: true })) === 0;
    await still.close();
    await tab.setBypassCSP(true);
    await tab.goto(`file://${page}`);
    let violations = [];
    // a table of 800 lines takes axe-core a minute: the views and the details are opened at one width
    for (const view of width === 1000 ? ["rows", "checks", "time", "state"] : ["state"]) {
      await tab.evaluate((id) => document.getElementById(id)?.click(), `view-${view}`);
      if (width === 1000 && view === "state")
        await tab.evaluate(() => document.querySelectorAll("details").forEach((each) => (each.open = true)));
      await tab.evaluate(axe);
      violations = violations.concat((await tab.evaluate(() => window.axe.run())).violations);
    }
    console.log(
      `${scheme} ${width}: ${violations.length} violations, ${requests.length} requests, ` +
        `${overflow} pixels too wide, ${same ? "the same" : "ANOTHER page"} without scripts`,
    );
    for (const each of violations) console.log(`  ${each.id}: ${each.nodes[0].html.slice(0, 200)}`);
    wrong += violations.length + requests.length + Math.max(overflow, 0) + (same ? 0 : 1);
    await tab.close();
  }
}
const tab = await open(1000, "light", { vision: "deuteranopia" });
await tab.screenshot({ path: `${folder}/deuteranopia.png`, clip: { x: 0, y: 0, width: 1000, height: 1600 }, captureBeyondViewport: true });
await tab.emulateVisionDeficiency("none");
await tab.pdf({ path: `${folder}/a4.pdf`, format: "A4", printBackground: true });
await browser.close();
process.exit(wrong ? 1 : 0);
