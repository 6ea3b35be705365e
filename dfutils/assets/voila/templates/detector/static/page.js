// What the page does beside the widgets: it refuses files that are too large before they are sent, says
// that a file is on its way, gives the report its full height, and says when the session has ended.
(function () {
  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const notice = document.getElementById("notice");
  const maxBytes = Number(notice.dataset.maxBytes);

  function warn(text) {
    notice.textContent = "! " + text;
    notice.hidden = false;
  }

  // The widget's file input is in no document; it is met when it is clicked. A listener that captures runs
  // before the widget's own, which would send the file, and a message too large cuts the connection.
  function guard(event) {
    const file = event.target.files[0];
    notice.hidden = true;
    if (!file) return;
    if (file.size > maxBytes) {
      event.stopImmediatePropagation();
      event.target.value = "";
      warn(`This file is larger than ${maxBytes / 1e6} MB, the limit. Cut out the part that matters.`);
      return;
    }
    const status = document.querySelector(".dfutils-status .widget-html-content");
    if (status) status.textContent = "Sending the file …";
  }
  const click = HTMLInputElement.prototype.click;
  HTMLInputElement.prototype.click = function () {
    if (this.type === "file") this.addEventListener("change", guard, true);  // twice counts once
    return click.call(this);
  };

  // the frame lets no script run; this page may measure it
  function fit(frame) {
    const page = frame.contentDocument && frame.contentDocument.documentElement;
    if (!page) return;
    frame.style.height = "0";
    frame.style.height = page.scrollHeight + 4 + "px";
  }
  function adopt(frame) {
    frame.dataset.adopted = "yes";
    frame.setAttribute("sandbox", "allow-same-origin");
    frame.addEventListener("load", () => fit(frame));
    frame.srcdoc = frame.srcdoc;
  }
  new MutationObserver(function () {
    document.querySelectorAll("iframe[srcdoc]:not([data-adopted])").forEach(adopt);
    const status = document.querySelector(".dfutils-status:not([aria-live])");
    if (status) status.setAttribute("aria-live", "polite");
    const button = document.querySelector("button.widget-upload");
    const count = button && button.textContent.match(/ \(\d+\)$/);
    if (count) button.textContent = button.textContent.slice(0, count.index);
  }).observe(document.body, { childList: true, subtree: true });
  window.addEventListener("resize", function () {
    document.querySelectorAll("iframe[data-adopted]").forEach(fit);
  });

  async function check() {
    const answer = await fetch(`${config.baseUrl}api/kernels/${config.kernelId}`).catch(() => null);
    if (!answer) warn("The detector cannot be reached. It may have been stopped.");
    else if (!answer.ok) warn("This page was idle for long and has been closed. Reload it to go on.");
  }
  setInterval(check, 60000);
  window.addEventListener("pageshow", (event) => event.persisted && check());

  // leaving ends the session; telephones know no "beforeunload", for which Voilà waits
  window.addEventListener("pagehide", function (event) {
    const token = document.cookie.match(/\b_xsrf=([^;]*)/);
    if (event.persisted || !token) return;
    const form = new FormData();
    form.append("_xsrf", token[1]);
    navigator.sendBeacon(`${config.baseUrl}voila/api/shutdown/${config.kernelId}`, form);
  });
})();
