// Keyboard shortcuts and the before/after panel of the S2ST review. Hand-written for FiftyOne's globals; no build step.
(function () {
  "use strict";
  const React = window.React, recoil = window.recoil;
  const fop = window.__fop__, foo = window.__foo__, fos = window.__fos__;
  const h = React.createElement;
  const PLUGIN = "@s2st-aug/review/";
  const COLOURS = { keep: "#009ed7", ignore: "#f0b428", lost: "#e13c00" };
  const LINES = { keep: { strokeWidth: 2 }, ignore: { strokeWidth: 3, strokeDasharray: "8 6" }, lost: { strokeWidth: 6 } }; // never by colour alone
  const KEYS = { A: "accept", R: "reject", I: "ignore_object", U: "undo", N: "next_undecided" };
  const changed = new EventTarget();
  let reason = "";
  let advance = true;  // whether a decision on an open sample opens the next undecided one
  let ours = false;  // whether the App shows a dataset of `review push`: in any other, no tab and no key is ours

  function run(name, params, then) {
    const options = { callback: (result) => { if (then) then(result && result.result); if (name !== "panel_data") changed.dispatchEvent(new Event("decided")); } };
    foo.executeOperator(PLUGIN + name, params || {}, options);
  }

  function decide(name) {
    const decides = name === "accept" || name === "reject", next = advance && decides;
    run(name, name === "reject" && reason ? { reason } : {}, (result) => { if (next && result && result.changed && result.open) run("next_undecided"); });
  }

  function isTyping(target) {
    return target && (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName));
  }

  // Before the App's own handlers: Shift with a letter, while nobody types.
  window.addEventListener("keydown", (event) => {
    if (!ours || !event.shiftKey || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const name = KEYS[event.key.toUpperCase()];
    if (!name) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    decide(name);
  }, true);

  function Overlay({ boxes, aspect }) {
    const held = (b) => (b.decision === "ignore" ? "ignore" : b.verdict);
    const shapes = boxes.map((b, i) => h("rect", {
      key: i, x: b.box[0] * 1000, y: b.box[1] * 1000 * aspect, width: b.box[2] * 1000, height: b.box[3] * 1000 * aspect,
      fill: "none", stroke: COLOURS[held(b)] || "#8b949e", ...(LINES[held(b)] || { strokeWidth: 3 }),
    }, h("title", null, b.label + ": " + (b.verdict || "") + (b.decision ? ", " + b.decision + " by a person" : ""))));
    return h("svg", { viewBox: `0 0 1000 ${1000 * aspect}`, style: { position: "absolute", inset: 0, width: "100%", height: "100%" } }, shapes);
  }

  function Slider({ data, overlay }) {
    const [share, setShare] = React.useState(50);
    const [aspect, setAspect] = React.useState(0.5625);
    const image = { position: "absolute", inset: 0, width: "100%", height: "100%" };
    const measured = (event) => setAspect(event.target.naturalHeight / event.target.naturalWidth);
    return h("div", null,
      h("div", { "data-cy": "s2st-slider", style: { position: "relative", width: "100%", paddingBottom: `${aspect * 100}%`, background: "#000" } },
        h("img", { src: fos.getSampleSrc(data.variant), style: image, onLoad: measured, alt: data.domain }),
        h("img", { src: fos.getSampleSrc(data.source), style: { ...image, clipPath: `inset(0 ${100 - share}% 0 0)` }, alt: "source" }),
        overlay && h(Overlay, { boxes: data.boxes, aspect }),
        h("div", { style: { position: "absolute", top: 0, bottom: 0, left: `${share}%`, width: 2, background: "#fff" } })),
      h("input", { type: "range", min: 0, max: 100, value: share, "aria-label": "source on the left, variant on the right",
        "data-cy": "s2st-range", style: { width: "100%" }, onChange: (e) => setShare(Number(e.target.value)) }));
  }

  function Measures({ data }) {
    const number = (value) => (value === null || value === undefined ? "null" : value.toFixed(2));
    const rows = Object.entries(data.measures).map(([name, value]) => h("tr", { key: name }, h("td", null, name), h("td", { style: { paddingLeft: 12 } }, number(value))));
    const counts = Object.entries(data.counts).map(([name, n]) => h("span", { key: name, style: { color: COLOURS[name], marginRight: 12 } }, `${n} ${name}`));
    return h("div", null, h("p", null, counts), h("table", null, h("tbody", null, rows)));
  }

  function Progress({ progress }) {
    const done = (progress.accept || 0) + (progress.reject || 0), total = done + (progress.undecided || 0);
    const text = `${done} of ${total} decided: ${progress.accept || 0} accepted, ${progress.reject || 0} rejected`;
    return h("div", { "data-cy": "s2st-progress" }, h("progress", { value: done, max: total || 1, style: { width: "100%" } }), h("p", null, text));
  }

  function Buttons({ reasons }) {
    const button = (name, label) => h("button", { key: name, "data-cy": "s2st-" + name, onClick: () => decide(name), style: { marginRight: 6, padding: "4px 10px" } }, label);
    const choose = h("select", { key: "reason", "aria-label": "reason for rejecting", onChange: (e) => { reason = e.target.value; }, style: { marginRight: 6 } },
      [h("option", { key: "", value: "" }, "reason"), ...reasons.map((r) => h("option", { key: r, value: r }, r))]);
    return h("div", { style: { margin: "8px 0" } }, button("accept", "Accept ⇧A"), button("reject", "Reject ⇧R"), choose,
      button("ignore_object", "Ignore object ⇧I"), button("undo", "Undo ⇧U"), button("next_undecided", "Next ⇧N"));
  }

  function useData(sampleId) {
    const [data, setData] = React.useState(null);
    const load = React.useCallback(() => run("panel_data", { sample_id: sampleId }, (result) => { if (result) setData(result); }), [sampleId]);
    React.useEffect(() => {
      load();
      changed.addEventListener("decided", load);
      return () => changed.removeEventListener("decided", load);
    }, [load]);
    return data;
  }

  function Advance() {
    const [on, setOn] = React.useState(advance);
    return h("label", { style: { marginRight: 12 } }, h("input", { type: "checkbox", checked: on, "data-cy": "s2st-advance",
      onChange: (e) => { advance = e.target.checked; setOn(advance); } }), " go to the next after a decision");
  }

  function ReviewPanel() {
    const sampleId = recoil.useRecoilValue(fos.nullableModalSampleId);
    const data = useData(sampleId);
    const [overlay, setOverlay] = React.useState(true);
    if (!data) return h("div", { style: { padding: 16 } }, "loading");
    const box = { padding: 16, color: "var(--fo-palette-text-primary, #eee)", overflow: "auto", height: "100%" };
    if (!data.variant) {
      return h("div", { style: box, "data-cy": "s2st-panel" }, h(Progress, data), h("p", null, "Open a variant (a slice other than the source) to compare it; Shift+N opens the next one."), h(Buttons, { reasons: data.reasons }));
    }
    return h("div", { style: box, "data-cy": "s2st-panel" },
      h("p", null, `${data.scene}, ${data.domain}: `, h("b", { "data-cy": "s2st-decision" }, data.decision), ` (${[data.status, ...data.reasons_of].join(", ")})`),
      h(Slider, { data, overlay }),
      h(Advance), h("label", null, h("input", { type: "checkbox", checked: overlay, onChange: (e) => setOverlay(e.target.checked) }), " verdicts"),
      data.why && h("details", { open: true, style: { margin: "8px 0" } }, h("summary", null, "Why it was rejected"),
        h("img", { src: fos.getSampleSrc(data.why), "data-cy": "s2st-why", alt: "source and variant, labels framed by verdict", style: { width: "100%" } })),
      h(Buttons, { reasons: data.reasons }), h(Measures, { data }), h(Progress, data));
  }

  // The App asks again whenever the dataset or its fields change.
  function isOurs(context) {
    const { dataset, schema } = context || {};
    ours = Boolean((dataset && dataset.info && dataset.info.s2st_aug) || (schema && schema.variant_id && schema.journal));
    return ours;
  }

  fop.registerComponent({
    name: "s2st_review", label: "S2ST review", component: ReviewPanel, type: fop.PluginComponentType.Panel, activator: isOurs,
    panelOptions: { surfaces: "grid modal", helpMarkdown: "Source left, variant right. Shift+A accepts, Shift+R rejects, Shift+I ignores the selected labels, Shift+U undoes, Shift+N opens the next undecided, which a decision does too." },
  });
})();
