/** The API reference: BentoML's copy of Swagger UI over our own document. */

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  presets: [window.SwaggerUIBundle.presets.apis],
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null, // would ask another host
});
