# Imagen at a glance; what its panels ask is in dashboard.yaml, three panels a row.

locals {
  panels = yamldecode(templatefile("${path.module}/dashboard.yaml", var.prices)).panels
  width  = 16
  height = 12
}

resource "google_monitoring_dashboard" "imagen" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = "Imagen ${var.environment}"
    labels      = { imagen = "" }

    mosaicLayout = {
      columns = 3 * local.width
      tiles = [
        for place, panel in local.panels : {
          xPos   = place % 3 * local.width
          yPos   = floor(place / 3) * local.height
          width  = local.width
          height = local.height
          widget = {
            title = panel.title
            xyChart = {
              yAxis = { label = panel.unit, scale = "LINEAR" }
              dataSets = [
                for legend, query in panel.queries : {
                  plotType        = try(panel.plot, "LINE")
                  targetAxis      = "Y1"
                  legendTemplate  = replace(legend, "/\\{(\\w+)\\}/", "$${labels.$1}")
                  timeSeriesQuery = { prometheusQuery = query }
                }
              ]
              thresholds = [for value in try(panel.thresholds, []) : { value = value, targetAxis = "Y1" }]
            }
          }
        }
      ]
    }
  })
}
