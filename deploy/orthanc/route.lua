-- Orthanc sends every mammography series to the node once the series is stable.
--
-- In Orthanc's configuration:
--   "LuaScripts": ["/etc/orthanc/route.lua"],
--   "DicomModalities": { "mammoclip": ["MAMMOCLIP", "node.example", 11112] },
--   "StableAge": 30
--
-- Only Modality MG: the node's own results come back as SR, SEG and OT and must not be forwarded.

function OnStableSeries(seriesId, tags, metadata)
  if tags['Modality'] == 'MG' then
    -- Permissive: an object that the node refuses does not keep back those behind it.
    local job = { Resources = { seriesId }, Synchronous = false, Permissive = true }
    RestApiPost('/modalities/mammoclip/store', DumpJson(job, true))
  end
end
