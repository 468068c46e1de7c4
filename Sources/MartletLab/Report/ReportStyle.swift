/// How the page looks, in light and dark.
enum ReportStyle {
  static let css = """
    :root {
      color-scheme: light dark;
      --page: #fbfbf9; --card: #ffffff; --text: #1d2025; --soft: #5d6470; --line: #dfe1e5;
      --accent: #1f6feb; --yes: #1a7f4b; --no: #c2372f;
      --c0: #5d6470; --c1: #1f6feb; --c2: #d9480f; --c3: #1a7f4b;
      --c4: #8b3fc7; --c5: #b58900; --c6: #c2256e; --c7: #0b7f93;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #14161a; --card: #1c1f25; --text: #e6e8ec; --soft: #9aa3b0; --line: #31363f;
        --accent: #6ea8fe; --yes: #4ac585; --no: #ff7b72;
        --c0: #9aa3b0; --c1: #6ea8fe; --c2: #ff9457; --c3: #4ac585;
        --c4: #c792ea; --c5: #e0b93a; --c6: #ff77b0; --c7: #4fc3d7;
      }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--text);
      font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
    main { max-width: 1240px; margin: 0 auto; padding: 28px 24px 80px; }
    h1 { font-size: 1.7rem; margin: 0 0 4px; }
    h2 { font-size: 1.2rem; margin: 0 0 10px; }
    h3 { font-size: 1rem; margin: 18px 0 6px; }
    section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
      padding: 18px 20px; margin-top: 20px; }
    .meta, .note, .cost, small { color: var(--soft); }
    .meta { margin: 0; }
    .note { font-size: 0.88rem; margin: 10px 0 0; }
    .findings details p { margin: 0 0 10px; max-width: 78ch; }
    .findings details { border: 0; margin-top: 8px; }
    .answer { font-size: 1rem; }
    .answer tbody th { white-space: nowrap; padding-right: 20px; }
    .answer td { padding-right: 18px; }
    .real { color: var(--yes); font-weight: 600; } .open { font-weight: 600; }
    code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.86rem; }
    .wide { overflow-x: auto; }
    table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
    th, td { text-align: left; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line);
      font-weight: 400; vertical-align: baseline; }
    thead th { color: var(--soft); font-size: 0.82rem; }
    tbody th { font-weight: 600; min-width: 160px; max-width: 270px; overflow-wrap: anywhere; }
    tbody th small { display: block; font-weight: 400; }
    tbody tr:last-child > * { border-bottom: 0; }
    .number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
    .share { white-space: nowrap; font-variant-numeric: tabular-nums; }
    .bar { display: inline-block; position: relative; width: 120px; height: 9px; margin-left: 10px;
      border-radius: 5px; background: var(--line); }
    .bar::before { content: ""; position: absolute; top: 0; bottom: 0; left: var(--low);
      right: calc(100% - var(--high)); background: var(--accent); opacity: 0.4; border-radius: 5px; }
    .bar::after { content: ""; position: absolute; top: -2px; bottom: -2px; left: var(--mean);
      width: 3px; margin-left: -1.5px; background: var(--accent); border-radius: 2px; }
    .heat { text-align: right; font-variant-numeric: tabular-nums; padding-right: 12px;
      background: color-mix(in srgb, var(--accent) calc(var(--share) * 0.38), transparent); }
    .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
      gap: 18px; }
    .charts > :only-child { max-width: 640px; }
    figure { margin: 0; }
    figcaption { font-size: 0.9rem; font-weight: 600; margin-bottom: 4px; }
    svg { width: 100%; height: auto; display: block; }
    svg .grid { stroke: var(--line); stroke-width: 1; }
    svg .diagonal { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 4; }
    svg .tick { fill: var(--soft); font-size: 11.5px; }
    svg .label { fill: var(--soft); font-size: 12.5px; }
    svg polyline { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
    svg polyline.dashed { stroke-dasharray: 5 4; stroke-width: 1.5; }
    svg .interval { stroke: var(--c); stroke-width: 1.5; opacity: 0.5; }
    svg path { fill: var(--c); }
    .s0 { --c: var(--c0); } .s1 { --c: var(--c1); } .s2 { --c: var(--c2); } .s3 { --c: var(--c3); }
    .s4 { --c: var(--c4); } .s5 { --c: var(--c5); } .s6 { --c: var(--c6); } .s7 { --c: var(--c7); }
    .legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 12px; font-size: 0.88rem; }
    .legend span { display: inline-flex; align-items: center; gap: 6px; margin: 0; }
    .key { width: 13px; height: 13px; flex: none; }
    details { border-top: 1px solid var(--line); }
    summary { cursor: pointer; padding: 7px 0; display: flex; gap: 12px; align-items: baseline; }
    summary::before { content: "▸"; color: var(--soft); flex: none; }
    details[open] > summary::before { content: "▾"; }
    .problems > .note { margin-bottom: 10px; }
    .id { font-weight: 600; white-space: nowrap; flex: none; }
    .question, summary code { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .dots { margin-left: auto; display: flex; flex-wrap: wrap; gap: 3px; flex: none;
      max-width: 40%; }
    .dots i { width: 9px; height: 9px; border-radius: 50%; }
    i.yes { background: var(--yes); }
    i.no { border: 1.5px solid var(--no); }
    b.yes { color: var(--yes); } b.no { color: var(--no); }
    .cost { font-size: 0.82rem; white-space: nowrap; }
    summary .cost { margin-left: auto; }
    .run { margin-left: 22px; }
    ol { margin: 0 0 10px; padding-left: 44px; }
    li { padding: 4px 0; }
    li.chosen { background: color-mix(in srgb, var(--accent) 10%, transparent); border-radius: 6px; }
    li pre { display: inline; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 10px 0 6px; }
    details > pre { white-space: pre-wrap; margin: 4px 0 8px 22px; }
    @media (max-width: 640px) {
      main { padding: 16px 10px 60px; }
      section { padding: 14px 12px; }
      h1 { font-size: 1.35rem; }
      .answer thead { display: none; }
      .answer tr, .answer th, .answer td { display: block; padding: 2px 0; border: 0; }
      .answer tr { padding: 8px 0; border-bottom: 1px solid var(--line); }
      .answer td::before { content: attr(data-label) ": "; color: var(--soft); }
      .bar { width: 70px; margin-left: 6px; }
      svg .tick { font-size: 17px; } svg .label { font-size: 18px; }
      summary { flex-wrap: wrap; gap: 4px 10px; }
      .question, summary code { max-width: 100%; }
      .run { margin-left: 8px; } ol { padding-left: 26px; }
      .cost { white-space: normal; }
    }
    @media print { section { break-inside: avoid; } }
    """
}
