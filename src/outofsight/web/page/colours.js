// One colour for each subject, told apart by most eyes (after Okabe and Ito), and lighter ones on dark ground.

const LIGHT = ["#c2410c", "#0f766e", "#7c3aed", "#a16207", "#be185d", "#1d4ed8"];
const DARK = ["#ff9d5c", "#5fd4c4", "#c4a5ff", "#f2cf63", "#ff93bf", "#93b8ff"];

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function subjectColour(number) {
  return (isDark() ? DARK : LIGHT)[number % LIGHT.length];
}
