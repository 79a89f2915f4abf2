"use strict";

// The page is read with a slash at its end, so that these addresses are beside it wherever a proxy
// may have put them.
document.addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: new URL("openapi-3.0.json", document.baseURI).href,
    dom_id: "#document",
    deepLinking: true,
    displayRequestDuration: true,
    validatorUrl: null, // Or it asks a server of its makers' about the document.
  });
});
