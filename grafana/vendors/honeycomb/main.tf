# Creates the board, the derived columns and the triggers in Honeycomb from the JSON files in this folder.
#
# HONEYCOMB_API_KEY: a configuration key with access to queries, boards, columns and triggers. In Europe, also set
# HONEYCOMB_API_ENDPOINT=https://api.eu1.honeycomb.io.

terraform {
  required_version = ">= 1.3"
  required_providers {
    honeycombio = {
      source  = "honeycombio/honeycombio"
      version = "~> 0.51"
    }
  }
}

provider "honeycombio" {}

resource "honeycombio_derived_column" "agentcost" {
  for_each = local.columns

  dataset     = var.dataset
  alias       = each.value.alias
  expression  = each.value.expression
  description = each.value.description
}

resource "honeycombio_query" "panel" {
  for_each = local.queries

  dataset    = var.dataset
  query_json = jsonencode(each.value.query)

  depends_on = [honeycombio_derived_column.agentcost]
}

resource "honeycombio_query_annotation" "panel" {
  for_each = local.queries

  dataset     = var.dataset
  query_id    = honeycombio_query.panel[each.key].id
  name        = each.value.name
  description = each.value.description
}

resource "honeycombio_flexible_board" "agentcost" {
  name        = local.board.name
  description = local.board.description

  dynamic "panel" {
    for_each = local.board.panels
    content {
      type = panel.value.type
      position {
        x_coordinate = panel.value.position.x_coordinate
        y_coordinate = panel.value.position.y_coordinate
        width        = panel.value.position.width
        height       = panel.value.position.height
      }
      query_panel {
        query_id            = honeycombio_query.panel[panel.value.query_panel.query_id].id
        query_annotation_id = honeycombio_query_annotation.panel[panel.value.query_panel.query_annotation_id].id
        query_style         = panel.value.query_panel.query_style
      }
    }
  }
}

resource "honeycombio_query" "trigger" {
  for_each = local.triggers

  dataset    = var.dataset
  query_json = jsonencode(each.value.query)
}

resource "honeycombio_trigger" "agentcost" {
  for_each = local.triggers

  dataset     = var.dataset
  name        = each.value.name
  description = each.value.description
  query_id    = honeycombio_query.trigger[each.key].id
  frequency   = each.value.frequency
  alert_type  = each.value.alert_type

  threshold {
    op    = each.value.threshold.op
    value = each.value.threshold.value
  }

  dynamic "recipient" {
    for_each = var.recipients
    content {
      type   = recipient.value.type
      target = recipient.value.target
    }
  }
}

output "board_url" {
  value = honeycombio_flexible_board.agentcost.board_url
}
