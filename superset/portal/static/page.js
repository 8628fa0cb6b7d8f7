// Superset's script asks for a new token before the old one ends.
const place = document.getElementById("dashboard");
supersetEmbeddedSdk.embedDashboard({
  id: place.dataset.dashboard,
  supersetDomain: place.dataset.superset,
  mountPoint: place,
  fetchGuestToken: async () => (await (await fetch("/guest-token")).json()).token,
  dashboardUiConfig: { hideTitle: true, filters: { expanded: false } },
});
